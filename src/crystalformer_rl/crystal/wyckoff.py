"""Wyckoff positions of the 230 space groups, in the ITA standard setting.

Standard setting: unique axis b and cell choice 1, hexagonal axes for rhombohedral groups, origin
choice 2 (International Tables for Crystallography, Volume A). A letter is a number: 1 = 'a' …
26 = 'z', 27 = 'A' (only in Pmmm), 0 = pad.

An orbit is never found by comparing coordinates of points: the distinct images of a position are
found once, as affine maps, so a point that happens to lie near a more special position still has
all its images.
"""

import json
import re
import string
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import spglib
from numpy.typing import ArrayLike, NDArray

LETTERS = string.ascii_lowercase + "A"
NUM_GROUPS = 230
NUM_LETTERS = len(LETTERS) + 1
_DENOMINATOR = 24
# A point without symmetry.
_GENERIC = np.array([0.1372, 0.2716, 0.3391])
_CENTRINGS = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "A": ((1, 0, 0), (0, 1 / 2, -1 / 2), (0, 1 / 2, 1 / 2)),
    "C": ((1 / 2, -1 / 2, 0), (1 / 2, 1 / 2, 0), (0, 0, 1)),
    "F": ((0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)),
    "I": ((-1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (1 / 2, 1 / 2, -1 / 2)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}


@dataclass(frozen=True)
class WyckoffPosition:
    """A Wyckoff position: its letter, and the first coordinate triplet as an affine map.

    Attributes
    ----------
    letter, index
        ``'a'`` and 1, …, ``'A'`` and 27.
    multiplicity
        Images in the conventional cell.
    operation
        ``(3, 4)``: rotation and translation that take (x, y, z) to the first triplet, so that
        (x, 2x, 1/4) is [[1,0,0,0], [2,0,0,0], [0,0,0,1/4]].
    free
        ``(3,)``: coordinates that vary along the position. As in the published code a dependent
        coordinate counts: all three of (x, x, x) are free.
    """

    letter: str
    index: int
    multiplicity: int
    operation: NDArray[np.float64]
    free: NDArray[np.bool_]


def hall_number(space_group: int) -> int:
    """Hall number (1–530, spglib) of the standard setting of ``space_group``."""
    return int(_data()[check_space_group(space_group)]["hall"])


@cache
def positions(space_group: int) -> tuple[WyckoffPosition, ...]:
    """Wyckoff positions of ``space_group`` in the order of their letters, 'a' first."""
    found = []
    for index, (letter, multiplicity, triplet) in enumerate(
        _data()[check_space_group(space_group)]["positions"], start=1
    ):
        operation = _parse(triplet)
        free = (operation[:, :3] != 0).any(axis=1)
        operation.flags.writeable = free.flags.writeable = False
        found.append(WyckoffPosition(letter, index, multiplicity, operation, free))
    return tuple(found)


@cache
def operations(space_group: int) -> NDArray[np.float64]:
    """All operations of the conventional cell, centrings included: ``(n, 3, 4)`` affine maps."""
    data = spglib.get_symmetry_from_database(hall_number(space_group))
    rotations = np.asarray(data["rotations"], dtype=float)
    shifts = np.round(np.asarray(data["translations"]) * _DENOMINATOR) / _DENOMINATOR
    return _frozen(np.concatenate([rotations, shifts[:, :, None]], axis=2))


@cache
def primitive_basis(space_group: int) -> NDArray[np.float64]:
    """``(3, 3)``: rows are the primitive vectors in units of the conventional ones."""
    maps = operations(space_group)
    centrings = maps[(maps[:, :, :3] == np.eye(3)).all(axis=(1, 2)), :, 3]
    for rows in _CENTRINGS.values():
        basis = np.array(rows, dtype=float)
        inside = centrings @ np.linalg.inv(basis)
        if len(centrings) == round(1 / np.linalg.det(basis)) and np.allclose(
            inside, np.round(inside)
        ):
            return _frozen(basis)
    raise AssertionError(f"space group {space_group} has an unknown centring: {centrings}")


@cache
def to_primitive(space_group: int) -> NDArray[np.float64]:
    """Inverse of :func:`primitive_basis`: conventional coordinates times it are primitive ones."""
    return _frozen(np.linalg.inv(primitive_basis(space_group)))


@cache
def images(space_group: int, letter: int) -> NDArray[np.float64]:
    """The distinct images of a position: ``(multiplicity, 3, 4)`` maps of the free (x, y, z).

    The first is the first triplet of the tables.
    """
    return _distinct(_images(space_group, letter), np.eye(3))


@cache
def primitive_images(space_group: int, letter: int) -> NDArray[np.float64]:
    """The images that differ by more than a centring: as many as atoms in the primitive cell."""
    return _distinct(_images(space_group, letter), primitive_basis(space_group))


def orbit(space_group: int, letter: int, xyz: ArrayLike) -> NDArray[np.float64]:
    """All images of a site in the conventional cell: ``(multiplicity, 3)`` fractional, in [0, 1).

    Parameters
    ----------
    letter
        Wyckoff letter, 1 to the group's highest.
    xyz
        ``(3,)`` fractional; projected onto the first position.
    """
    maps = images(space_group, letter)
    return wrap(maps[:, :, :3] @ np.asarray(xyz, dtype=float) + maps[:, :, 3])


def project(space_group: int, letter: int, xyz: ArrayLike) -> NDArray[np.float64]:
    """Nearest description on the first position: ``(..., 3)`` to ``(..., 3)``, in [0, 1).

    x is kept or set, then y follows from x where it depends on it, then z, as in the
    published code; this is not the orthogonal projection.
    """
    check_letter(space_group, letter)
    operation = first_operations()[space_group, letter]
    return wrap(np.asarray(xyz, dtype=float) @ operation[:, :3].T + operation[:, 3])


def wrap(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional coordinates in [0, 1); what rounding would make 1 becomes 0."""
    wrapped = xyz - np.floor(xyz)
    return np.where(wrapped >= 1.0, 0.0, wrapped)


@cache
def multiplicities() -> NDArray[np.int64]:
    """``(231, 28)``: multiplicity of each group and letter, 0 for pads and absent letters."""
    table = np.zeros((NUM_GROUPS + 1, NUM_LETTERS), dtype=np.int64)
    for group, position in _everything():
        table[group, position.index] = position.multiplicity
    return _frozen(table)


@cache
def max_letter() -> NDArray[np.int64]:
    """``(231,)``: the highest letter (the general position) of each group."""
    return _frozen((multiplicities() > 0).sum(axis=1))


@cache
def free_coordinates() -> NDArray[np.bool_]:
    """``(231, 28, 3)``: coordinates that vary along the first position."""
    table = np.zeros((NUM_GROUPS + 1, NUM_LETTERS, 3), dtype=np.bool_)
    for group, position in _everything():
        table[group, position.index] = position.free
    return _frozen(table)


@cache
def has_freedom() -> NDArray[np.bool_]:
    """``(231, 28)``: whether a letter has a free coordinate and may therefore be used twice."""
    return _frozen(np.asarray(free_coordinates().any(axis=2)))


@cache
def first_operations() -> NDArray[np.float64]:
    """``(231, 28, 3, 4)``: the affine map of each first position, zero for pads."""
    table = np.zeros((NUM_GROUPS + 1, NUM_LETTERS, 3, 4))
    for group, position in _everything():
        table[group, position.index] = position.operation
    return _frozen(table)


@cache
def letters_of(space_group: int, multiplicity: int) -> NDArray[np.int64]:
    """The letters of one multiplicity."""
    return np.flatnonzero(multiplicities()[space_group] == multiplicity)


@cache
def exchangeable(space_group: int) -> list[str]:
    """Letters in classes, of which another description of a crystal may exchange the letters.

    The description is in the standard setting too. Letters of a class are alike in all that an
    affine map of the group onto itself preserves, as far as it is compared here.
    """
    classes: dict[tuple[object, ...], str] = {}
    for one in positions(space_group):
        kind = _kind(space_group, one)
        classes[kind] = classes.get(kind, "") + one.letter
    return list(classes.values())


def _kind(space_group: int, position: WyckoffPosition) -> tuple[object, ...]:
    """Multiplicity, degrees of freedom, kinds of operations that leave a point of the position
    where it is, and number of translations that leave its orbit as it is.
    """
    maps, operation = operations(space_group), position.operation
    point = operation[:, :3] @ _GENERIC + operation[:, 3]
    images = maps[:, :, :3] @ point + maps[:, :, 3]
    offset = images - point
    rotations = maps[(np.abs(offset - offset.round()) < 1e-6).all(axis=1), :, :3]
    traces = np.trace(rotations, axis1=1, axis2=2).round().tolist()
    kinds = sorted(zip(np.linalg.det(rotations).round().tolist(), traces, strict=True))
    # In units of which 1/24 is a multiple, coordinates are compared as integers.
    places = np.round(images * 24e5).astype(int)
    orbit = set(map(tuple, (places % 2400000).tolist()))
    translations = sum(
        orbit.issuperset(map(tuple, ((places + other - places[0]) % 2400000).tolist()))
        for other in np.array(sorted(orbit))
    )
    freedom = int(np.linalg.matrix_rank(operation[:, :3]))
    return position.multiplicity, freedom, tuple(kinds), translations


def check_space_group(space_group: int) -> int:
    """The space group as int, or ``ValueError`` when it is not 1–230."""
    if not 1 <= space_group <= NUM_GROUPS:
        raise ValueError(f"space group {space_group}: must be 1 to {NUM_GROUPS}")
    return int(space_group)


def check_letter(space_group: int, letter: int) -> int:
    """The letter as int, or ``ValueError`` when the group does not have it."""
    highest = len(positions(space_group))
    if not 1 <= letter <= highest:
        raise ValueError(
            f"Wyckoff letter {letter} in space group {space_group}: must be 1 ('a') to "
            f"{highest} ('{LETTERS[highest - 1]}')"
        )
    return int(letter)


def _images(space_group: int, letter: int) -> NDArray[np.float64]:
    check_letter(space_group, letter)
    first = positions(space_group)[letter - 1].operation
    maps = operations(space_group)
    rotated = maps[:, :, :3] @ first
    rotated[:, :, 3] += maps[:, :, 3]
    return np.concatenate([first[None], rotated])


def _distinct(maps: NDArray[np.float64], basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """The maps whose translations differ modulo the lattice ``basis`` (rows), first kept."""
    # In units of 1/24 every translation of a standard setting is an integer: exact comparison.
    shifts = np.round(maps[:, :, 3] @ np.linalg.inv(basis) * _DENOMINATOR).astype(int)
    rotations = np.round(maps[:, :, :3]).astype(int).reshape(len(maps), 9)
    keys = np.concatenate([rotations, shifts % _DENOMINATOR], axis=1)
    _, first = np.unique(keys, axis=0, return_index=True)
    return _frozen(maps[np.sort(first)])


def _everything() -> list[tuple[int, WyckoffPosition]]:
    return [
        (group, position) for group in range(1, NUM_GROUPS + 1) for position in positions(group)
    ]


def _parse(triplet: str) -> NDArray[np.float64]:
    operation = np.zeros((3, 4))
    term = re.compile(r"([+-]?)(?:(\d+)(?:/(\d+))?)?([xyz]?)")
    for row, text in enumerate(triplet.split(",")):
        for sign, numerator, denominator, variable in term.findall(text):
            if numerator or variable:
                value = int(numerator or 1) / int(denominator or 1)
                column = "xyz".index(variable) if variable else 3
                operation[row, column] += -value if sign == "-" else value
    return operation


@cache
def _data() -> dict[int, Any]:
    text = resources.files(__package__).joinpath("wyckoff.json").read_text(encoding="utf-8")
    return {int(number): group for number, group in json.loads(text).items()}


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
