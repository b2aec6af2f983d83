"""Candidates: seeded, distinct, sensible, and only added to by more effort."""

from itertools import islice

import numpy as np
import pytest

from crystalformer_rl.making.prototypes import (
    RARE_ELEMENTS,
    compounds,
    elements,
    prototypes,
    pure_elements,
    rare_elements,
)

pytestmark = pytest.mark.slow

MAX_ATOMS = 4


def test_library_is_the_one_that_is_documented() -> None:
    found = prototypes(20)
    labels = [label for label, _ in found]
    assert len(found) == 250
    assert len(set(labels)) == len(labels)
    assert max(len(structure) for _, structure in found) <= 20


def test_elements_leave_out_what_cannot_be_handled() -> None:
    names = elements()
    assert {"H", "O", "Si", "Fe", "Bi", "Th", "U"} <= set(names)
    assert not {"He", "Ar", "Tc", "Po", "Ra", "Pu", "Am"} & set(names)


@pytest.mark.slow
def test_same_seed_same_candidates() -> None:
    first, second, other = (
        [
            (c.identifier, c.structure.composition.reduced_formula)
            for c in islice(compounds(seed=seed, max_atoms=MAX_ATOMS, effort=12), 40)
        ]
        for seed in (0, 0, 1)
    )
    assert first == second
    assert first != other


def test_more_effort_only_adds() -> None:
    few, many = (
        {
            c.identifier: c.structure.formula
            for c in islice(compounds(seed=0, max_atoms=2, effort=effort), 30)
        }
        for effort in (6, 12)
    )
    shared = few.keys() & many.keys()
    assert len(shared) >= 10
    assert all(few[name] == many[name] for name in shared)


def test_candidates_are_distinct_crystals_of_sane_volume() -> None:
    candidates = list(islice(compounds(seed=0, max_atoms=MAX_ATOMS, effort=12), 60))
    assert len({c.identifier for c in candidates}) == len(candidates)
    allowed = set(elements())
    for candidate in candidates:
        structure = candidate.structure
        assert {e.symbol for e in structure.elements} <= allowed
        assert structure.n_elems >= 2
        if not candidate.identifier.endswith("-0"):
            assert 4.0 <= structure.volume / len(structure) <= 120.001


def test_every_element_has_candidates_of_its_own() -> None:
    found = list(pure_elements(max_atoms=1))
    assert {c.structure.elements[0].symbol for c in found} == set(elements())
    assert all(c.structure.n_elems == 1 for c in found)


def test_rare_elements_are_references_of_no_compound() -> None:
    found = list(rare_elements(max_atoms=1))
    assert {c.structure.elements[0].symbol for c in found} == set(RARE_ELEMENTS)
    assert not set(RARE_ELEMENTS) & set(elements())
    assert len(set(RARE_ELEMENTS) | set(elements())) == 89
    assert len({c.identifier for c in found}) == len(found)
    (alpha,) = (c.structure for c in found if c.identifier == "A_mP16_11_8e-1-Pu")
    assert len(alpha) == 16
    (argon,) = (c.structure for c in found if c.identifier == "A_cF4_225_a-1-Ar")
    assert argon.volume == pytest.approx(3.76**3 / np.sqrt(2))
