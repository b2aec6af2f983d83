"""Uniqueness and novelty: which crystals are the same, by pymatgen's StructureMatcher.

The results are those of the matcher. Pairs that it cannot match are skipped: those with different
reduced formulas, and those whose reduced (Niggli, primitive) cells differ in the number of atoms,
because the matcher makes no supercells here and needs a one-to-one map of the sites. Each cell is
reduced once instead of once for each comparison.

Matching is not exactly symmetric or transitive. The definition here goes through the crystals in
order: a crystal is the same as the first representative that matches it,
``fit(representative, crystal)``, and is itself a representative if there is none.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystalformer_rl.config.judging import Tolerances
from crystalformer_rl.crystal.distances import MIN_DISTANCE_ANGSTROM, min_distance

# Longest edge cubed over the volume, of a reduced cell. The matcher lists the lattice vectors as
# long as each edge and their pairs, which for flat cells do not fit into memory. The maximum in
# MP-20 is 244.
MAX_ELONGATION = 500
# Lattice points in the search for the Niggli cell; for degenerate cells it would take hours.
MAX_LATTICE_POINTS = 1e6

# Exceptions of pymatgen for a cell that it cannot reduce.
IRREDUCIBLE = (ValueError, ArithmeticError, LookupError, np.linalg.LinAlgError)

FormulaKey = tuple[tuple[int, int], ...]


def matcher_of(
    *, length_tolerance: float, site_tolerance: float, angle_tolerance: float
) -> StructureMatcher:
    """The matcher with its tolerances (``ltol``, ``stol``, ``angle_tol`` in degrees)."""
    return StructureMatcher(ltol=length_tolerance, stol=site_tolerance, angle_tol=angle_tolerance)


def matcher_for(settings: Tolerances) -> StructureMatcher:
    """The matcher with the tolerances of a section of the configuration."""
    return matcher_of(**{name: getattr(settings, name) for name in Tolerances.model_fields})


def formula_key(numbers: Sequence[int]) -> FormulaKey:
    """Reduced formula as sorted (atomic number, count) pairs, from the atoms of any cell.

    >>> formula_key([11, 17, 11, 17])
    ((11, 1), (17, 1))
    """
    counts = Counter(int(number) for number in numbers)
    divisor = gcd(*counts.values()) or 1
    return tuple(sorted((number, count // divisor) for number, count in counts.items()))


def formulas_of(numbers: Iterable[Any]) -> list[FormulaKey | None]:
    """The reduced formula of each row of a column ``numbers``; None where there are no atoms."""
    return [None if np.ndim(one) == 0 else formula_key(one) for one in numbers]


class MatchingCell:
    """A crystal to compare, possibly many times: its reduced cell is found once, when needed."""

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.formula = formula_key(structure.atomic_numbers)

    @cached_property
    def reduced(self) -> Structure | None:
        """The cell that the matcher compares, or None if there is a :attr:`problem`."""
        return self._reduction[0]

    @cached_property
    def problem(self) -> str | None:
        """Why the cell cannot be reduced or compared, or None."""
        return self._reduction[1]

    @cached_property
    def _reduction(self) -> tuple[Structure | None, str | None]:
        if (problem := _degeneracy(self.structure)) is not None:
            return None, problem
        # The same order as in StructureMatcher; a test compares the two.
        try:
            niggli = self.structure.get_reduced_structure(reduction_algo="niggli")
            reduced = niggli.get_primitive_structure()
        except IRREDUCIBLE as error:
            return None, f"{type(error).__name__}: {error}"
        elongation = max(reduced.lattice.abc) ** 3 / reduced.volume
        if elongation > MAX_ELONGATION:
            return None, f"flat cell, its longest edge cubed is {elongation:.0f} times its volume"
        return reduced, None


def _degeneracy(structure: Structure) -> str | None:
    """Why the search for the Niggli cell would not end or give no meaningful cell, or None."""
    points = _lattice_points(structure.lattice)
    if not points <= MAX_LATTICE_POINTS:
        return f"degenerate cell, {points:.1g} lattice points within its longest vector"
    if not np.isfinite(structure.frac_coords).all():
        return "a coordinate is not finite"
    distance = min_distance(structure)
    # Most flat cells have periodic images that are too close.
    if distance < MIN_DISTANCE_ANGSTROM:
        return f"atoms {distance:.3f} Å apart"
    return None


def _lattice_points(lattice: Lattice) -> float:
    """Lattice points in the box around a sphere as large as the longest lattice vector."""
    if not (np.isfinite(lattice.matrix).all() and abs(lattice.volume) > 0):
        return np.inf
    spacings = 2 * np.pi / np.array(lattice.reciprocal_lattice.abc)
    return float(np.prod(2 * max(lattice.abc) / spacings + 1))


def same(matcher: StructureMatcher, first: MatchingCell, second: MatchingCell) -> bool:
    """``matcher.fit(first, second)`` on the reduced cells; False if one has none."""
    if first.formula != second.formula:
        return False
    one, other = first.reduced, second.reduced
    if one is None or other is None or len(one) != len(other):
        return False
    return bool(matcher.fit(one, other, skip_structure_reduction=True))


@dataclass(frozen=True)
class Uniqueness:
    """Which crystals are the first of their kind.

    Attributes
    ----------
    flags
        (n,) True for representatives; False for repeats, None, and what cannot be compared.
    representative
        (n,) index of the representative, its own for a representative, -1 where there is none.
    """

    flags: NDArray[np.bool_]
    representative: NDArray[np.int64]


def unique_flags(
    structures: Sequence[Structure | MatchingCell | None], matcher: StructureMatcher
) -> Uniqueness:
    """First-seen representatives among ``structures``; None is never unique."""
    representative = np.full(len(structures), -1, dtype=np.int64)
    buckets: dict[FormulaKey, list[tuple[int, MatchingCell]]] = {}
    for index, structure in enumerate(structures):
        if structure is None:
            continue
        candidate = structure if isinstance(structure, MatchingCell) else MatchingCell(structure)
        bucket = buckets.setdefault(candidate.formula, [])
        found = next((i for i, seen in bucket if same(matcher, seen, candidate)), None)
        if found is not None:
            representative[index] = found
        elif not bucket or candidate.problem is None:
            bucket.append((index, candidate))
            representative[index] = index
    return Uniqueness(representative == np.arange(len(structures)), representative)


class ReferenceIndex:
    """Known crystals, to check whether a crystal is among them.

    Parameters
    ----------
    structures, ids
        The known crystals and their names, in the order of the comparisons.
    """

    def __init__(self, structures: Sequence[Structure], ids: Sequence[str]) -> None:
        self._buckets: dict[FormulaKey, list[tuple[str, MatchingCell]]] = {}
        for name, structure in zip(ids, structures, strict=True):
            candidate = MatchingCell(structure)
            self._buckets.setdefault(candidate.formula, []).append((name, candidate))

    def problem(self, candidate: MatchingCell) -> str | None:
        """Why ``candidate`` cannot be compared with the known crystals of its formula, or None."""
        return candidate.problem if candidate.formula in self._buckets else None

    def match(self, structure: Structure | MatchingCell, matcher: StructureMatcher) -> str | None:
        """Id of the first known crystal that matches, or None if it is new."""
        candidate = structure if isinstance(structure, MatchingCell) else MatchingCell(structure)
        known = self._buckets.get(candidate.formula, [])
        return next((name for name, one in known if same(matcher, one, candidate)), None)
