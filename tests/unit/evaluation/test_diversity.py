"""Diversity of compositions and space groups."""

import pytest

from crystalformer_rl.evaluation.diversity import diversity


def test_distinct_things_are_counted() -> None:
    answer = diversity(["NaCl", "NaCl", "Na2Cl", "Fe", "O2"], [225, 221, 225, 229, 2])
    assert (answer.formulas, answer.chemical_systems, answer.space_groups) == (4, 3, 4)
    assert answer.pure_elements == 2


def test_effective_formulas() -> None:
    assert diversity(["NaCl"] * 7, [1] * 7).effective_formulas == pytest.approx(1)
    assert diversity(["NaCl", "MgO", "KBr"] * 2, [1] * 6).effective_formulas == pytest.approx(3)
    assert diversity([], []).effective_formulas == 0
