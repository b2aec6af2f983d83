"""Uniqueness and novelty: pymatgen's own answer, by buckets."""

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystalformer_rl.evaluation.matching import (
    MatchingCell,
    ReferenceIndex,
    formula_key,
    matcher_of,
    same,
    unique_flags,
)

MATCHER = matcher_of(length_tolerance=0.2, site_tolerance=0.3, angle_tolerance=5)
PROTOTYPES = {
    "Fm-3m": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "Pm-3m": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "F-43m": [[0, 0, 0], [0.25, 0.25, 0.25]],
    "P6_3mc": [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.37]],
}


def crystal(group: str, first: str, second: str, length: float = 5.0) -> Structure:
    hexagonal = group.startswith("P6")
    lattice = Lattice.hexagonal(length, 1.63 * length) if hexagonal else Lattice.cubic(length)
    return Structure.from_spacegroup(group, lattice, [first, second], PROTOTYPES[group])


def zoo(count: int, seed: int) -> list[Structure]:
    """Disguised and distorted copies of a few prototypes, some of them borderline matches."""
    generator = np.random.default_rng(seed)
    crystals = []
    for _ in range(count):
        group = generator.choice(list(PROTOTYPES))
        first, second = generator.permutation(["Na", "Cl"])
        one = crystal(group, first, second, length=generator.uniform(4, 7))
        one = one.get_primitive_structure()
        if len(one) == 2 and generator.random() < 0.4:
            one.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
        if generator.random() < 0.6:
            noise = generator.normal(0, generator.choice([0.03, 0.4]), (len(one), 3))
            one = Structure(
                one.lattice, one.species, one.cart_coords + noise, coords_are_cartesian=True
            )
            one.apply_strain(generator.uniform(-0.15, 0.15, 3))
        if generator.random() < 0.2:
            one.replace(0, second)
        crystals.append(one)
    return crystals


def plain_representatives(crystals: list[Structure], matcher: StructureMatcher) -> list[int]:
    """The definition: compare with every representative, in order."""
    answer: list[int] = []
    for index, one in enumerate(crystals):
        earlier = [i for i in range(index) if answer[i] == i]
        answer.append(next((i for i in earlier if matcher.fit(crystals[i], one)), index))
    return answer


def test_unique_equals_the_plain_loop() -> None:
    crystals = zoo(11, 0)
    answer = unique_flags(crystals, MATCHER)
    expected = plain_representatives(crystals, MATCHER)
    assert answer.representative.tolist() == expected
    assert answer.flags.tolist() == [i == e for i, e in enumerate(expected)]
    assert 1 < answer.flags.sum() < len(crystals)


def test_novelty_equals_the_plain_loop() -> None:
    known, asked = zoo(5, 2), zoo(5, 3)
    names = [f"mp-{i}" for i in range(len(known))]
    index = ReferenceIndex(known, names)
    expected = [
        next((n for n, k in zip(names, known, strict=True) if MATCHER.fit(k, one)), None)
        for one in asked
    ]
    assert [index.match(one, MATCHER) for one in asked] == expected
    assert any(expected) and not all(expected)


def test_disguises_are_seen_through() -> None:
    salt = crystal("Fm-3m", "Na", "Cl")
    supercell = salt.get_primitive_structure()
    supercell.make_supercell([[2, 0, 0], [1, 1, 0], [0, 0, 3]])
    moved = salt.copy().translate_sites(range(8), [0.1, 0.2, 0.3])
    swelled = crystal("Fm-3m", "Na", "Cl", length=6.2)
    other = crystal("Pm-3m", "Na", "Cl")
    answer = unique_flags([salt, None, supercell, moved, swelled, other], MATCHER)
    assert answer.representative.tolist() == [0, -1, 0, 0, 0, 5]
    assert answer.flags.tolist() == [True, False, False, False, False, True]


def test_tolerances_are_used() -> None:
    strict = matcher_of(length_tolerance=0.01, site_tolerance=0.01, angle_tolerance=0.5)
    straight = crystal("Pm-3m", "Na", "Cl")
    bent = straight.copy().apply_strain([0.05, 0.0, 0.0])
    assert same(MATCHER, MatchingCell(straight), MatchingCell(bent))
    assert not same(strict, MatchingCell(straight), MatchingCell(bent))


def test_what_cannot_be_reduced_is_neither_unique_nor_matched() -> None:
    flat = Structure(Lattice([[1, 0, 0], [0, 1, 0], [1, 1, 0]]), ["Na", "Cl"], [[0, 0, 0]] * 2)
    salt = crystal("Pm-3m", "Na", "Cl")
    candidate = MatchingCell(flat)
    assert candidate.problem is not None
    answer = unique_flags([salt, candidate, salt], MATCHER)
    assert answer.representative.tolist() == [0, -1, 0]
    index = ReferenceIndex([salt], ["mp-1"])
    assert index.match(candidate, MATCHER) is None
    assert index.problem(candidate) == candidate.problem
    assert index.problem(MatchingCell(salt)) is None


def plate(edge: float, height: float) -> Structure:
    lattice = Lattice.orthorhombic(edge, 1.01 * edge, height)
    return Structure(lattice, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("flat", "words"),
    [
        (plate(20, 0.02), "atoms 0.020 Å apart"),
        (plate(90, 0.01), "atoms 0.010 Å apart"),
        (plate(900, 0.6), "flat cell, its longest edge cubed is 1530 times its volume"),
        (Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, np.nan]]), "not finite"),
    ],
)
def test_what_would_take_all_time_or_memory_is_not_compared(flat: Structure, words: str) -> None:
    candidate, shifted = (
        MatchingCell(flat),
        MatchingCell(flat.copy().translate_sites([0], [0.1, 0, 0])),
    )
    assert candidate.problem is not None and words in candidate.problem
    salt = crystal("Pm-3m", "Na", "Cl")
    assert not same(MATCHER, candidate, shifted)
    assert unique_flags([salt, candidate, shifted], MATCHER).representative.tolist() == [0, -1, -1]
    assert ReferenceIndex([salt], ["mp-1"]).problem(candidate) == candidate.problem


def test_layered_crystals_are_compared() -> None:
    """As the most elongated one of MP-20, whose longest edge cubed is 243 times its volume."""
    slab = plate(4, 62)
    assert MatchingCell(slab).problem is None
    assert same(MATCHER, MatchingCell(slab), MatchingCell(plate(4.1, 60)))


def test_formula_key_is_reduced_and_ordered() -> None:
    assert formula_key([8, 8, 8, 26, 26]) == ((8, 3), (26, 2))
    assert formula_key(np.array([17, 11, 17, 11])) == formula_key([11, 17])
    assert formula_key([29] * 4) == ((29, 1),)
    assert formula_key([]) == ()
