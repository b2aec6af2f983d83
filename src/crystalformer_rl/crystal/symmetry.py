"""Bring a crystal to the ITA standard setting, and name the Wyckoff positions of its sites."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import moyopy
import numpy as np
import spglib
from numpy.typing import NDArray

from crystalformer_rl.crystal import wyckoff as tables
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.distances import shorter_than
from crystalformer_rl.crystal.lattice import CUBIC

# moyo warns of every supercell, about operations that are not used here.
logging.getLogger("moyo").setLevel(logging.ERROR)

# The standardised positions are idealised: what is left between images is rounding.
SAME_POINT = 2e-3
# How much further than a symmetry tolerance atoms may be moved by what the libraries still find.
_LOOSE = 10.0
# The shortest translation in which a symmetry is looked for, in tolerances; moyo fails at 6.
_SHORTEST = 10.0
# Å, for :func:`primitive`; tight, so that only true repetitions of a cell are taken out.
PRIMITIVE_SYMPREC = 0.01


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
    description = _preferred_description(dataset, cell.numbers.tolist())
    linear, shift = np.array(dataset.std_linear), np.array(dataset.std_origin_shift)
    standard = dataset.std_cell
    positions = np.array(standard.positions)
    if description is not _AS_IT_IS:
        rotation, translation = description.rotation, description.translation
        linear = linear @ np.linalg.inv(rotation)
        shift = shift - linear @ translation
        positions = positions @ rotation.T + translation
    numbers = np.array(standard.numbers, dtype=np.int64)
    return Standard(
        space_group=int(dataset.number),
        cell=Cell(np.array(standard.basis), numbers, tables.wrap(positions)),
        linear=linear,
        shift=shift,
    )


def _moyo_dataset(cell: Cell, *, symprec: float) -> "moyopy.MoyoDataset":
    _refuse_short_cell(cell, symprec)
    with _failures_of("moyo"):
        return moyopy.MoyoDataset(
            moyopy.Cell(cell.matrix.tolist(), cell.positions.tolist(), cell.numbers.tolist()),
            symprec=symprec,
            setting=moyopy.Setting.standard(),
        )


def _refuse_short_cell(cell: Cell, symprec: float) -> None:
    """Raise if a translation is not much longer than the tolerance.

    Rotations within the tolerance then do not form a group, and moyo multiplies them until the
    memory is full, which ends the process.

    Raises
    ------
    ValueError
        If the shortest lattice vector is below ``_SHORTEST`` times ``symprec``.
    """
    length = shorter_than(_SHORTEST * symprec, cell.matrix)
    if length is not None:
        raise ValueError(
            f"a translation of {length:.3g} Å is too short for a symmetry within {symprec} Å"
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


@dataclass(frozen=True)
class _Description:
    """A move of origin and axes, and the letter that each letter becomes by it."""

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    letters: Mapping[str, str]


_AS_IT_IS = _Description(np.eye(3), np.zeros(3), {})
# By space group and letters; only of cubic groups.
_KNOWN_DESCRIPTIONS: dict[tuple[int, frozenset[str]], list[_Description]] = {}


def _preferred_description(dataset: "moyopy.MoyoDataset", numbers: Sequence[int]) -> _Description:
    """The move of origin and axes after which the (letter, element) pairs are smallest.

    A crystal has as many equally good descriptions in the standard setting as its Euclidean
    normaliser allows: rock salt with either element at the origin. Mirror images are left out.
    """
    group, letters = int(dataset.number), dataset.wyckoffs
    if _is_smallest(group, set(zip(dataset.orbits, letters, numbers, strict=True))):
        return _AS_IT_IS
    if group < CUBIC:
        choices = _descriptions(dataset)
    else:
        # moyo takes milliseconds. Cubic lattices differ in size alone, and so the answer depends
        # on the letters alone.
        key = group, frozenset(letters)
        if key not in _KNOWN_DESCRIPTIONS:
            _KNOWN_DESCRIPTIONS[key] = _descriptions(dataset)
        choices = _KNOWN_DESCRIPTIONS[key]

    def pairs(choice: _Description) -> list[tuple[int, int]]:
        moved = [tables.LETTERS.index(choice.letters[letter]) for letter in letters]
        return sorted(zip(moved, numbers, strict=True))

    return min(choices, key=pairs)


def _descriptions(dataset: "moyopy.MoyoDataset") -> list[_Description]:
    """Moves that lead to different letters, the identity first."""
    with _failures_of("moyo"):
        normaliser = dataset.normalizer_wyckoff_positions(preserve_chirality=True)
    before = [position.letter for position in normaliser.wyckoffs]
    return [
        _Description(
            np.array(move.linear, dtype=float),
            np.array(move.origin_shift, dtype=float),
            dict(zip(before, (position.letter for position in after), strict=True)),
        )
        for move, after in normaliser.coset_representatives
    ]


def _is_smallest(group: int, orbits: Collection[tuple[int, str, int]]) -> bool:
    """Whether no exchange of letters makes the (letter, element) pairs smaller.

    In each class of letters that a normaliser may exchange, they must be in the order of the
    elements on them.
    """
    elements: dict[str, list[float]] = {}
    for _, letter, number in orbits:
        elements.setdefault(letter, []).append(number)
    # Infinity: of two letters with the same first elements that with more of them comes first.
    keys = {letter: [*sorted(found), np.inf] for letter, found in elements.items()}
    return all(
        keys.get(low, [np.inf]) <= keys.get(high, [np.inf])
        for letters in tables.exchangeable(group)
        for low, high in pairwise(letters)
    )


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


def primitive(cell: Cell, *, symprec: float) -> Cell:
    """The crystal in a primitive cell, not idealised; itself if it is primitive already.

    Parameters
    ----------
    symprec
        Translations count that move no atom further than this, Å.

    Returns
    -------
    Cell
        The input where no smaller cell is found, or no symmetry at all.
    """
    if not _may_repeat(cell, symprec):
        return cell
    try:
        size = len(_moyo_dataset(cell, symprec=symprec).prim_std_cell.numbers)
    except ValueError:
        return cell
    if size == len(cell.numbers):
        return cell
    # moyo, which is quick, gives idealised cells only.
    try:
        with _failures_of("spglib"):
            found = spglib.find_primitive(
                (cell.matrix, cell.positions, cell.numbers), symprec=symprec
            )
    except ValueError:
        return cell
    if found is None or len(found[2]) >= len(cell.numbers):
        return cell
    matrix, positions, numbers = found
    return Cell(matrix, np.asarray(numbers, dtype=np.int64), positions)


def _may_repeat(cell: Cell, symprec: float) -> bool:
    """Whether the cell may hold a smaller one several times: quick, and never wrongly False.

    A translation maps each atom of the rarest element onto another one, and then all atoms.
    """
    numbers, counts = np.unique(cell.numbers, return_counts=True)
    if np.gcd.reduce(counts) == 1:
        return False
    rarest = cell.positions[cell.numbers == numbers[counts.argmin()]]
    alike = cell.numbers[:, None] == cell.numbers
    for shift in rarest[1:] - rarest[0]:
        offsets = cell.positions[:, None] + shift - cell.positions
        vectors = (offsets - offsets.round()) @ cell.matrix
        near = (vectors * vectors).sum(axis=-1) < (_LOOSE * symprec) ** 2
        if (near & alike).any(axis=1).all():
            return True
    return False


def space_group(cell: Cell, *, symprec: float) -> int | None:
    """Number of the space group that moyo finds within ``symprec``, Å; None if it finds none."""
    try:
        return int(_moyo_dataset(cell, symprec=symprec).number)
    except ValueError:
        return None


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
    maps, firsts = tables.operations(group), tables.first_operations()[group]
    # Each atom on the first position of each letter, whether it is there, and the point to report.
    projected = cell.positions @ firsts[:, :, :3].swapaxes(1, 2) + firsts[:, None, :, 3]
    fits = _near(cell.positions - projected, cell.matrix)
    points = tables.wrap(tables.wrap(projected).round(8))
    waiting = np.ones(len(cell.numbers), dtype=bool)
    found = []
    while waiting.any():
        first = int(waiting.argmax())
        images = maps[:, :, :3] @ cell.positions[first] + maps[:, :, 3]
        same = (waiting & (cell.numbers == cell.numbers[first])).nonzero()[0]
        near = _near(images[:, None] - cell.positions[same], cell.matrix)
        members = same[near.any(axis=0)]
        if not near.any(axis=1).all():
            raise ValueError(f"the images of atom {first} are not all atoms of the cell")
        letters = tables.letters_of(group, len(members))
        places, which = fits[letters[:, None], members].nonzero()
        if not len(places):
            raise ValueError(
                f"an orbit of {len(members)} atoms fits no Wyckoff position of group {group}"
            )
        letter = int(letters[places[0]])
        smallest = min(points[letter, members[which[places == places[0]]]].tolist())
        found.append(Site(letter, int(cell.numbers[first]), np.array(smallest)))
        waiting[members] = False
    return sorted(found, key=lambda site: (site.letter, *site.xyz.tolist(), site.element))


def _near(offset: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
    """``(..., 3)`` to ``(...)``: whether offsets, up to lattice vectors, are those of one point.

    Exact in any cell: the coordinates of a short offset differ by little from integers.
    """
    # Of stacked arrays, np.dot makes one product, the operator many.
    moved = np.dot(offset - np.rint(offset), matrix)
    return np.asarray(np.vecdot(moved, moved) < SAME_POINT**2)


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
