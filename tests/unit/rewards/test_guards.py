"""The repeat discount and abstaining, by their laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from crystalformer_rl.rewards.guards import abstains, repeat_weight
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.reference import Elements, ReferenceHull

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


@pytest.mark.parametrize(
    ("min_references", "expected"),
    [
        (None, "Si KCl NaYb"),
        (3, "Si KCl NaYb"),
        (4, "Si NaCl KCl NaYb"),
        (5, "Si NaCl MgO KCl NaYb"),
    ],
)
def test_pure_elements_and_sparse_hulls_abstain(min_references: int | None, expected: str) -> None:
    """Of K and Cl only the elements are known: the hull cannot say whether KCl is stable."""
    symbols = ["Na", "Cl", "Mg", "O", "Si", "K", "Yb"]
    hull = ReferenceHull(
        Hull(["NaCl", "MgO", "MgO2", "NaYb"], [-2.0] * 4, elements=symbols, exclude_ytterbium=True),
        Elements("chgnet", "mp2020_corrected", dict.fromkeys(symbols, 0.0)),
    )
    formulas = ["Si", "NaCl", "MgO", "KCl", "NaYb", "KrF"]
    structures = [cell(formula) for formula in formulas]
    placement = hull.place([*structures, None, cell("NaCl")], [-1.0] * 7 + [np.nan])
    flags = abstains(placement, min_references=min_references)
    assert [formulas[row] for row in np.flatnonzero(flags)] == expected.split()


def cell(formula: str) -> Structure:
    """A chain of the atoms of a formula."""
    symbols = [s for s, n in Composition(formula).get_el_amt_dict().items() for _ in range(int(n))]
    places = [[index / len(symbols), 0, 0] for index in range(len(symbols))]
    return Structure(Lattice.orthorhombic(3 * len(symbols), 3, 3), symbols, places)
