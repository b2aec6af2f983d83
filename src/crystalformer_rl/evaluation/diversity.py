"""Diversity of the generated crystals, and their coverage of the training set.

Crystals are counted by formula, chemical system, elements, space group and prototype. A prototype
here is the space group with the sequence of Wyckoff letters of the sites as generated; relaxation
may raise the symmetry. The letters are not made unique by the normaliser of the space group, so one
arrangement may count twice with two origins: the number of prototypes is an upper bound.

The effective number is exp(Shannon entropy) of the frequencies: the number of equally frequent
kinds with the same entropy (Hill, Ecology 54, 427 (1973)). It equals the Vendi score (arXiv
2210.02410) with a kernel that is 1 for the same kind and 0 for different ones.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element

from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.wyckoff import LETTERS
from crystalformer_rl.stability.elements import element_amounts


@dataclass(frozen=True)
class Coverage:
    """Kinds of the training set that occur among n generated crystals.

    Attributes
    ----------
    covered, of
        Number of kinds of the training set that occur, and number of all its kinds.
    fraction
        ``covered`` / ``of``; None if the training set has none.
    expected
        The fraction expected of n crystals drawn from the training set. A small sample cannot cover
        much.
    """

    covered: int
    of: int
    fraction: float | None
    expected: float | None


@dataclass(frozen=True)
class Kinds:
    """Distinct kinds, their effective number and coverage; None if it is not computed."""

    distinct: int
    effective: float
    coverage: Coverage | None = None


@dataclass(frozen=True)
class Diversity:
    """Diversity of n crystals.

    Attributes
    ----------
    crystals
        n.
    pure_elements
        Crystals of a single element. There, a hull knows least and rewards are least reliable.
    """

    crystals: int
    pure_elements: int
    formulas: Kinds
    chemical_systems: Kinds
    elements: Kinds
    space_groups: Kinds
    prototypes: Kinds


@dataclass(frozen=True)
class TrainingSet:
    """Numbers of its ``crystals`` by space group, by prototype, and by element contained."""

    crystals: int
    space_groups: Mapping[int, int]
    prototypes: Mapping[str, int]
    elements: Mapping[str, int]


def prototype(space_group: int, letters: Iterable[int]) -> str:
    """Space group and Wyckoff letters (1 = 'a' …) in the order of the sites.

    >>> prototype(225, [1, 2])
    '225 ab'
    """
    return f"{space_group} {''.join(LETTERS[letter - 1] for letter in letters)}"


def training_set(tokens: PackedTokens) -> TrainingSet:
    """Count the crystals of a training set."""
    ends = tokens.offset.tolist()
    letters = tokens.wyckoff.tobytes()
    sequences = Counter(
        (group, letters[start:end])
        for group, start, end in zip(tokens.space_group.tolist(), ends[:-1], ends[1:], strict=True)
    )
    crystal = np.repeat(np.arange(len(tokens)), tokens.num_sites)
    held = np.unique(np.stack([crystal, tokens.element], axis=1), axis=0)[:, 1]
    return TrainingSet(
        crystals=len(tokens),
        space_groups=_counted(tokens.space_group),
        prototypes={prototype(*sequence): count for sequence, count in sequences.items()},
        elements={Element.from_Z(z).symbol: count for z, count in _counted(held).items()},
    )


def diversity(
    formulas: Sequence[str],
    space_groups: Sequence[int],
    prototypes: Sequence[str],
    *,
    training: TrainingSet | None = None,
) -> Diversity:
    """Diversity of n crystals given by reduced formula, space group and :func:`prototype`.

    Space groups and prototypes of crystals in which no symmetry was found may be missing.
    """
    systems = [frozenset(element_amounts(Composition(formula))) for formula in formulas]
    elements = [element for system in systems for element in system]

    def kinds(items: Sequence[Hashable], known: Mapping[Any, int] | None = None) -> Kinds:
        counts = Counter(items)
        covered = None
        if training is not None and known is not None:
            covered = _coverage(counts, known, crystals=training.crystals, draws=len(formulas))
        return Kinds(len(counts), _effective_number(counts.values()), covered)

    return Diversity(
        crystals=len(formulas),
        pure_elements=sum(len(system) == 1 for system in systems),
        formulas=kinds(formulas),
        chemical_systems=kinds(systems),
        elements=kinds(elements, training.elements if training else None),
        space_groups=kinds(space_groups, training.space_groups if training else None),
        prototypes=kinds(prototypes, training.prototypes if training else None),
    )


def _coverage(
    found: Iterable[Hashable], known: Mapping[Any, int], *, crystals: int, draws: int
) -> Coverage:
    covered = len(known.keys() & set(found))
    if not known:
        return Coverage(covered, 0, None, None)
    shares = np.array(list(known.values())) / crystals
    expected = float(np.mean(1 - (1 - shares) ** draws))
    return Coverage(covered, len(known), covered / len(known), expected)


def _effective_number(counts: Iterable[int]) -> float:
    numbers = list(counts)
    total = sum(numbers)
    return exp(-sum(n / total * log(n / total) for n in numbers)) if total else 0.0


def _counted(values: NDArray[np.integer]) -> dict[int, int]:
    kinds, counts = np.unique(values, return_counts=True)
    return dict(zip(kinds.tolist(), counts.tolist(), strict=True))
