"""Bring a crystal to the ITA standard setting, and name the Wyckoff positions of its sites."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import moyopy
import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.crystal import wyckoff as tables
from crystalformer_rl.crystal.cell import Cell

# moyo warns of every supercell, about operations that are not used here.
logging.getLogger("moyo").setLevel(logging.ERROR)

# The standardised positions are idealised: what is left between images is rounding.
SAME_POINT = 2e-3


@dataclass(frozen=True)
class Standard:
    """A crystal in the conventional cell of its group's standard setting.

    Attributes
    ----------
    space_group
        1–230.
    cell
        Idealised conventional cell.
    linear, shift
        ``(3, 3)`` and ``(3,)``: input coordinates x are ``inv(linear) @ (x - shift)`` in the
        conventional cell, before idealisation.
    """

    space_group: int
    cell: Cell
    linear: NDArray[np.float64]
    shift: NDArray[np.float64]


@dataclass(frozen=True)
class Site:
    """A symmetry-inequivalent site: letter, atomic number, ``(3,)`` point of the first position."""

    letter: int
    element: int
    xyz: NDArray[np.float64]


def standardise_moyo(cell: Cell, *, symprec: float) -> Standard:
    """Standard setting found by moyo, described so that the lowest letters go to the lightest.

    Raises
    ------
    ValueError
        If moyo finds no symmetry at ``symprec`` (Å).
    """
    dataset = _moyo_dataset(cell, symprec=symprec)
    numbers = np.array(dataset.std_cell.numbers, dtype=np.int64)
    rotation, translation = _preferred_description(dataset, numbers)
    linear = np.array(dataset.std_linear) @ np.linalg.inv(rotation)
    return Standard(
        space_group=int(dataset.number),
        cell=Cell(
            np.array(dataset.std_cell.basis),
            numbers,
            tables.wrap(np.array(dataset.std_cell.positions) @ rotation.T + translation),
        ),
        linear=linear,
        shift=np.array(dataset.std_origin_shift) - linear @ translation,
    )


def _moyo_dataset(cell: Cell, *, symprec: float) -> "moyopy.MoyoDataset":
    with _failures_of("moyo"):
        return moyopy.MoyoDataset(
            moyopy.Cell(cell.matrix.tolist(), cell.positions.tolist(), cell.numbers.tolist()),
            symprec=symprec,
            setting=moyopy.Setting.standard(),
        )


@contextmanager
def _failures_of(library: str) -> Iterator[None]:
    """Turn every failure of a library into a ``ValueError``: it is the crystal's, not the run's.

    A panic of moyo's Rust code is not an ``Exception``; its class cannot be imported.
    """
    try:
        yield
    except ValueError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"{library} fails: {type(error).__name__}: {error}") from error


def _preferred_description(
    dataset: "moyopy.MoyoDataset", numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The move of origin and axes after which the (letter, element) pairs are smallest.

    A crystal has as many equally good descriptions in the standard setting as its Euclidean
    normaliser allows: rock salt with either element at the origin. Mirror images are left out.
    """
    with _failures_of("moyo"):
        normaliser = dataset.normalizer_wyckoff_positions(preserve_chirality=True)

    def pairs(choice: Any) -> list[tuple[int, int]]:
        letters = [tables.LETTERS.index(position.letter) for position in choice[1]]
        return sorted(zip(letters, numbers.tolist(), strict=True))

    best = min(normaliser.coset_representatives, key=pairs)[0]
    return np.array(best.linear, dtype=float), np.array(best.origin_shift, dtype=float)


def standardise_spglib(cell: Cell, *, symprec: float) -> Standard:
    """Standard setting found by spglib, which sometimes succeeds where moyo does not.

    Raises
    ------
    ValueError
        If spglib finds no symmetry at ``symprec`` (Å).
    """
    arrays = (cell.matrix, cell.positions, cell.numbers)
    found = _spglib_dataset(arrays, symprec, 0)
    dataset = _spglib_dataset(arrays, symprec, tables.hall_number(int(found.number)))
    linear = np.linalg.inv(dataset.transformation_matrix)
    return Standard(
        space_group=int(dataset.number),
        cell=Cell(
            np.array(dataset.std_lattice),
            np.array(dataset.std_types, dtype=np.int64),
            np.array(dataset.std_positions),
        ),
        linear=linear,
        shift=-linear @ dataset.origin_shift,
    )


def primitive(structure: Structure, *, symprec: float) -> Structure:
    """The structure in a primitive cell, not idealised; itself if it is primitive already.

    Parameters
    ----------
    structure
        Ordered.
    symprec
        Translations count that move no atom further than this, Å.

    Returns
    -------
    Structure
        The input where no smaller cell is found, or no symmetry at all.
    """
    cell = Cell.of(structure)
    try:
        size = len(_moyo_dataset(cell, symprec=symprec).prim_std_cell.numbers)
    except ValueError:
        return structure
    if size == len(structure):
        return structure
    # moyo, which is quick, gives idealised cells only.
    try:
        with _failures_of("spglib"):
            found = spglib.find_primitive(
                (cell.matrix, cell.positions, cell.numbers), symprec=symprec
            )
    except ValueError:
        return structure
    if found is None or len(found[2]) >= len(structure):
        return structure
    matrix, positions, numbers = found
    return Cell(matrix, np.asarray(numbers), positions).structure()


def sites(standard: Standard) -> list[Site]:
    """The inequivalent sites, sorted by letter, then x, y, z.

    Of the atoms of an orbit that lie on the first Wyckoff position the one with the smallest
    (x, y, z) stands for it, so that the tokens do not depend on the order of the atoms.

    Raises
    ------
    ValueError
        If the atoms are not whole orbits of the group's Wyckoff positions.
    """
    group, cell = standard.space_group, standard.cell
    maps = tables.operations(group)
    waiting = np.ones(len(cell.numbers), dtype=bool)
    found = []
    while waiting.any():
        first = int(np.argmax(waiting))
        points = maps[:, :, :3] @ cell.positions[first] + maps[:, :, 3]
        same = np.flatnonzero(waiting & (cell.numbers == cell.numbers[first]))
        near = _distances(points, cell.positions[same], cell.matrix) < SAME_POINT
        members = same[near.any(axis=0)]
        if not near.any(axis=1).all():
            raise ValueError(f"the images of atom {first} are not all atoms of the cell")
        letter, xyz = _position(group, cell.positions[members], cell.matrix)
        found.append(Site(letter, int(cell.numbers[first]), xyz))
        waiting[members] = False
    return sorted(found, key=lambda site: (site.letter, *site.xyz.tolist(), site.element))


def _position(
    group: int, members: NDArray[np.float64], matrix: NDArray[np.float64]
) -> tuple[int, NDArray[np.float64]]:
    """Letter of an orbit of the conventional cell, and its smallest point on the first position."""
    for position in tables.positions(group):
        if position.multiplicity != len(members):
            continue
        projected = tables.project(group, position.index, members)
        offset = members - projected
        offset -= np.round(offset)
        fits = np.linalg.norm(offset @ matrix, axis=1) < SAME_POINT
        if fits.any():
            candidates = tables.wrap(np.round(projected[fits], 8))
            return position.index, min(candidates, key=tuple)
    raise ValueError(f"an orbit of {len(members)} atoms fits no Wyckoff position of group {group}")


def _distances(
    a: NDArray[np.float64], b: NDArray[np.float64], matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``(A, B)`` Å between points, to the image nearest in fractional coordinates.

    Exact where it matters: a short distance is never overlooked, for coordinates that differ
    by little from integers are recognised in any cell.
    """
    offset = a[:, None] - b[None]
    offset -= np.round(offset)
    return np.asarray(np.linalg.norm(offset @ matrix, axis=2))


def _spglib_dataset(
    arrays: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]],
    symprec: float,
    hall_number: int,
) -> "spglib.SpglibDataset":
    with _failures_of("spglib"):
        dataset = spglib.get_symmetry_dataset(arrays, symprec=symprec, hall_number=hall_number)
    if dataset is None:
        raise ValueError(f"spglib finds no symmetry at {symprec} Å")
    return dataset
