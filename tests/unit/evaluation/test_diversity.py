"""Diversity of compositions, space groups and prototypes; coverage of a training set."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.evaluation.diversity import Kinds, diversity, prototype, training_set


def tokens(crystals: list[tuple[int, list[int], list[int]]]) -> PackedTokens:
    """Crystals from space group, letters and elements."""
    width = max(len(letters) for _, letters, _ in crystals)
    return PackedTokens.from_tokens(
        CrystalTokens(
            space_group=np.array([group for group, _, _ in crystals]),
            wyckoff=np.array([one + [0] * (width - len(one)) for _, one, _ in crystals]),
            element=np.array([one + [0] * (width - len(one)) for _, _, one in crystals]),
            position=np.zeros((len(crystals), width, 3)),
            lattice=np.ones((len(crystals), 6)),
        )
    )


TRAINING = training_set(
    tokens(
        [
            (225, [1, 2], [11, 17]),
            (225, [1, 2], [12, 8]),
            (221, [1, 2], [55, 17]),
            (47, [27, 1], [11, 11]),
        ]
    )
)


def test_distinct_things_are_counted() -> None:
    answer = diversity(
        ["NaCl", "NaCl", "Na2Cl", "Fe", "O2"],
        [225, 221, 225, 229, 2],
        ["225 ab", "221 ab", "225 ab", "229 a", "2 i"],
    )
    names = ("formulas", "chemical_systems", "elements", "space_groups", "prototypes")
    assert [getattr(answer, name).distinct for name in names] == [4, 3, 4, 4, 4]
    assert (answer.crystals, answer.pure_elements) == (5, 2)
    assert answer.prototypes.coverage is None


@given(st.lists(st.sampled_from(["Na", "Mg", "K", "Ca"]), max_size=30))
def test_the_effective_number_is_between_one_and_the_distinct_ones(formulas: list[str]) -> None:
    answer = diversity(formulas, [1] * len(formulas), ["1 a"] * len(formulas)).formulas
    assert answer.distinct == len(set(formulas))
    assert min(answer.distinct, 1) <= answer.effective * (1 + 1e-12)
    assert answer.effective <= answer.distinct * (1 + 1e-12)
    if len(set(Counter(formulas).values())) == 1:
        assert answer.effective == pytest.approx(answer.distinct)


def test_it_is_the_vendi_score_of_identity() -> None:
    """Exponential of the entropy of the kernel's eigenvalues over n."""
    formulas = ["NaCl", "NaCl", "MgO", "KBr", "KBr", "KBr"]
    kernel = np.equal.outer(np.array(formulas), np.array(formulas)) / len(formulas)
    weights = np.linalg.eigvalsh(kernel)
    weights = weights[weights > 1e-12]
    answer = diversity(formulas, [1] * 6, ["1 a"] * 6).formulas
    assert answer.effective == pytest.approx(np.exp(-(weights * np.log(weights)).sum()))


def test_a_training_set_is_counted() -> None:
    assert TRAINING.crystals == 4
    assert TRAINING.space_groups == {225: 2, 221: 1, 47: 1}
    assert TRAINING.prototypes == {"225 ab": 2, "221 ab": 1, "47 Aa": 1}
    assert TRAINING.elements == {"Na": 2, "Cl": 2, "Mg": 1, "O": 1, "Cs": 1}


def test_coverage_counts_what_the_training_set_has() -> None:
    answer = diversity(["NaF", "NaCl"], [225, 216], ["225 ab", "216 ac"], training=TRAINING)
    elements, groups = answer.elements.coverage, answer.space_groups.coverage
    assert elements is not None and groups is not None
    assert (elements.covered, elements.of, elements.fraction) == (2, 5, 0.4)
    assert (groups.covered, groups.of) == (1, 3)
    # Two draws miss a group of share p with (1 - p)²: 1/4, 9/16, 9/16.
    assert groups.expected == pytest.approx((3 / 4 + 7 / 16 + 7 / 16) / 3)
    assert answer.formulas.coverage is None


def test_the_training_set_covers_itself() -> None:
    answer = diversity(
        ["NaCl", "MgO", "CsCl", "Na"],
        [225, 225, 221, 47],
        ["225 ab", "225 ab", "221 ab", "47 Aa"],
        training=TRAINING,
    )
    for kinds in (answer.elements, answer.space_groups, answer.prototypes):
        assert kinds.coverage is not None
        assert kinds.coverage.fraction == 1
        assert kinds.coverage.expected is not None and kinds.coverage.expected < 1


def test_nothing_has_no_diversity() -> None:
    answer = diversity([], [], [], training=TRAINING)
    assert answer.formulas == Kinds(0, 0.0)
    assert answer.elements.coverage is not None
    assert (answer.elements.coverage.fraction, answer.elements.coverage.expected) == (0, 0)


def test_prototypes_are_named() -> None:
    assert prototype(221, [1, 2, 3]) == "221 abc"
    assert prototype(47, [26, 27]) == "47 zA"
