"""The guards, by what they strike and by their laws."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from crystalformer_rl.config.reward_base import DEFAULT_GUARDS
from crystalformer_rl.config.rewards import EhullReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.rewards.guards import judge, low_quantile
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.reference import Elements, Placement, ReferenceHull

FORMULAS = ["Si", "NaCl", "MgO", "KCl", "NaYb", "KrF", "MgO"]
ENERGIES = [-1.0, -2.0, -2.2, -1.0, -1.0, -1.0, -2.0]


@pytest.fixture(scope="module")
def placement() -> Placement:
    """On a hull where of K and Cl only the elements are known; MgO is 0.2 below it, then on it."""
    symbols = ["Na", "Cl", "Mg", "O", "Si", "K", "Yb"]
    hull = ReferenceHull(
        Hull(["NaCl", "MgO", "MgO2", "NaYb"], [-2.0] * 4, elements=symbols, exclude_ytterbium=True),
        Elements("chgnet", "mp2020_corrected", dict.fromkeys(symbols, 0.0)),
    )
    return hull.place(crystals(), [*ENERGIES, np.nan, np.nan])


def crystals() -> list[Cell | None]:
    return [*map(cell, FORMULAS), None, cell("NaCl")]


def rows(flags: np.ndarray) -> str:
    """The formulas of the crystals whose flags are set."""
    names = [*FORMULAS, "none", "NaCl without energy"]
    return " ".join(names[row] for row in np.flatnonzero(flags))


@pytest.mark.parametrize(
    ("guards", "min_references", "nothing", "abstain"),
    [
        (DEFAULT_GUARDS, None, "Si MgO", "KCl NaYb"),
        (DEFAULT_GUARDS, 4, "Si MgO", "NaCl KCl NaYb"),
        (DEFAULT_GUARDS, 5, "Si", "NaCl MgO KCl NaYb MgO"),
        (["unsupported"], None, "", "Si KCl NaYb"),
        (["artefact"], None, "Si MgO KCl", "NaYb"),
        ("none", None, "", "NaYb"),
        ("none", 4, "", "Si NaCl KCl NaYb"),
    ],
)
def test_what_the_guards_take_and_where_they_abstain(
    placement: Placement,
    guards: Any,
    min_references: int | None,
    nothing: str,
    abstain: str,
) -> None:
    settings = EhullReward(guards=guards, min_references=min_references)
    verdict = judge(settings, crystals(), placement)
    assert rows(verdict.nothing) == nothing
    assert rows(verdict.abstain) == abstain
    assert verdict.struck.keys() == {*settings.active_guards} - {"failures"}


def test_each_guard_says_what_it_struck(placement: Placement) -> None:
    struck = judge(EhullReward(), crystals(), placement).struck
    assert {name: rows(flags) for name, flags in struck.items()} == {
        "artefact": "MgO",
        "element": "Si",
        "unsupported": "KCl",
        "density": "",
    }


def test_the_density_of_no_crystal_earns_nothing(placement: Placement) -> None:
    crystals_ = crystals()
    salt = cell("NaCl")
    crystals_[1] = replace(salt, matrix=10 * salt.matrix)
    verdict = judge(EhullReward(), crystals_, placement)
    assert rows(verdict.struck["density"]) == "NaCl"
    assert verdict.nothing[1]


def test_charges_that_cannot_balance_earn_nothing_on_request(placement: Placement) -> None:
    crystals_ = [*crystals()[:2], cell("NaCl3"), *crystals()[3:]]
    on, off = (
        judge(EhullReward(guards=guards), crystals_, placement).nothing[2]
        for guards in (["charge"], ["density"])
    )
    assert on
    assert not off


@given(order=st.permutations(range(9)))
def test_the_order_of_a_batch_does_not_matter_to_the_guards(
    placement: Placement, order: list[int]
) -> None:
    shuffled = Placement(
        placement.e_above_hull[order],
        [placement.status[i] for i in order],
        placement.references[order],
        placement.compounds[order],
        placement.supported[order],
        placement.formation_energy[order],
    )
    made = crystals()
    straight = judge(EhullReward(), made, placement)
    turned = judge(EhullReward(), [made[i] for i in order], shuffled)
    np.testing.assert_array_equal(straight.nothing[order], turned.nothing)
    np.testing.assert_array_equal(straight.abstain[order], turned.abstain)


def test_a_failure_is_worth_the_low_quantile() -> None:
    values = -np.arange(101.0)
    assert low_quantile(values, lowest=-200) == -95
    assert low_quantile(values, lowest=-6) == -6
    assert low_quantile(values[:0], lowest=-6) == -6


def cell(formula: str) -> Cell:
    """A chain of the atoms of a formula."""
    symbols = [s for s, n in Composition(formula).get_el_amt_dict().items() for _ in range(int(n))]
    places = [[index / len(symbols), 0, 0] for index in range(len(symbols))]
    return Cell.of(Structure(Lattice.orthorhombic(3 * len(symbols), 3, 3), symbols, places))
