"""The repeat discount and abstaining, by their laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from crystalformer_rl.rewards.guards import abstains, repeat_weight

FORMULAS = st.sampled_from(["NaCl", "Na2Cl2", "MgO", "Si", "SiO2", None])
BATCHES = st.lists(FORMULAS, max_size=25)


def compositions(formulas: list[str | None]) -> list[Composition | None]:
    return [None if formula is None else Composition(formula) for formula in formulas]


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 1), (3, 1), (4, 11 / 12), (5, 4 / 5), (6, 4 / 6), (20, 4 / 20)]
)
def test_by_hand(count: int, expected: float) -> None:
    weights = repeat_weight(compositions(["NaCl", "Na2Cl2"] * 10)[:count], repeat_from=3)
    np.testing.assert_allclose(weights, expected)


@given(formulas=BATCHES, repeat_from=st.integers(1, 6))
def test_a_composition_never_earns_more_than_its_share(
    formulas: list[str | None], repeat_from: int
) -> None:
    weights = repeat_weight(compositions(formulas), repeat_from=repeat_from)
    assert ((weights > 0) & (weights <= 1)).all()
    salt = np.array([formula in {"NaCl", "Na2Cl2"} for formula in formulas], dtype=bool)
    assert weights[salt].sum() <= (3 * repeat_from - 1) / 2 + 1e-9
    if salt.sum() <= repeat_from:
        assert (weights[salt] == 1).all()
    assert (weights[[formula is None for formula in formulas]] == 1).all()


@given(formulas=BATCHES, random=st.randoms(use_true_random=False))
def test_the_order_of_a_batch_does_not_matter(
    formulas: list[str | None], random: "np.random.Generator"
) -> None:
    order = list(range(len(formulas)))
    random.shuffle(order)
    weights = repeat_weight(compositions(formulas), repeat_from=2)
    shuffled = repeat_weight(compositions([formulas[i] for i in order]), repeat_from=2)
    np.testing.assert_array_equal(weights[order], shuffled)


def test_no_discount() -> None:
    assert (repeat_weight(compositions(["NaCl"] * 9), repeat_from=None) == 1).all()


def test_pure_elements_and_sparse_hulls_abstain() -> None:
    batch = compositions(["Si", "NaCl", "MgO", "KCl", None])
    known = np.array([30, 11, 12, 2, 0])
    sparse = abstains(batch, known, min_references=12)
    assert sparse.tolist() == [True, True, False, True, False]
    # K and Cl alone: what the salt might fall apart into is not known.
    silent = abstains(batch, known, min_references=None)
    assert silent.tolist() == [True, False, False, True, False]
