"""Rewards for properties, against pymatgen and by hand."""

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from pymatgen.analysis.cost import CostAnalyzer, CostDBElements
from pymatgen.core import Composition

from crystalformer_rl.config import PropertyReward
from crystalformer_rl.config import property_rewards as listed
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.evaluation.columns import BY_NAME
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.properties import FEATURES_OF
from crystalformer_rl.properties.ensemble import PROPERTIES, load_ensemble
from crystalformer_rl.rewards import elements
from crystalformer_rl.rewards.base import RewardBatch, Sources, build
from crystalformer_rl.rewards.property import MEASURED
from crystalformer_rl.rewards.target import nearness

Batch = list[Cell | None]
Make = Callable[[str, str, float], Cell]


def settings(**keys: Any) -> PropertyReward:
    plain = {"name": "density", "target": "ascending", "minimum": 0, "maximum": 10}
    return PropertyReward(**plain | keys)


def scored(cells: Batch, **keys: Any) -> RewardBatch:
    return build(settings(**keys), Sources(device="cpu")).score(cells)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("ascending", [0, 0, 0.25, 0.5, 1, 1]),
        ("descending", [1, 1, 0.75, 0.5, 0, 0]),
        (1.0, [1, 1, 0.75, 0.5, 0, 0]),
        (3.0, [2 / 3, 2 / 3, 1, 2 / 3, 0, 0]),
        (5.0, [0, 0, 0.5, 1, 0, 0]),
    ],
)
def test_the_number_that_a_property_becomes(target: float | str, expected: list[float]) -> None:
    values = np.array([-7.0, 1, 3, 5, 9, 70])
    found = nearness(values, settings(target=target, minimum=1, maximum=9))
    np.testing.assert_allclose(found, expected)


def test_a_crystal_gets_its_density_and_what_is_no_crystal_nothing(batch: Batch) -> None:
    found = scored(batch, maximum=5)
    known = [cell.structure().density for cell in batch[:3] if cell is not None]
    np.testing.assert_allclose(found.value[:3], np.array(known) / 5)
    # Undecodable, overlapping, collapsed; an element without a reference energy is no failure.
    assert found.valid.tolist() == [True] * 3 + [False, False] + [True] * 3 + [False]
    assert found.value[[3, 4, 8]].tolist() == [0] * 3
    assert not found.abstain.any()
    np.testing.assert_allclose(found.components["density"][:3], known)


def test_properties_of_the_crystal(rock_salt: Make) -> None:
    salt = rock_salt("Na", "Cl", 5.69)
    measured = {name: measure(salt) for name, measure in MEASURED.items()}
    assert measured["volume_per_atom"] == pytest.approx(5.69**3 / 8)
    assert measured["elements"] == 2
    assert measured["density"] == pytest.approx(4 * 58.44 / 6.02214e23 / 5.69e-8**3, rel=1e-4)
    # US$/kg and mg/kg in the tables: Na 250 and 23600, Cl 1.5 and 145; HHI 1100, 500; 1500, 1500.
    na, cl = 22.98977 / 58.44277, 35.453 / 58.44277
    assert measured["log_price"] == pytest.approx(np.log10(250 * na + 1.5 * cl), abs=1e-5)
    assert measured["log_abundance"] == pytest.approx(np.log10(145))
    assert measured["hhi_production"] == pytest.approx(1100 * na + 1500 * cl, rel=1e-5)
    assert measured["hhi_reserve"] == pytest.approx(500 * na + 1500 * cl, rel=1e-5)


@pytest.mark.parametrize("formula", ["Fe2O3", "LiCoO2", "PtTe2", "Cs2LiLuF6"])
def test_the_price_of_a_mixture_of_elements(formula: str) -> None:
    """pymatgen finds the same as the cheapest way to make the composition."""
    composition = Composition(formula)
    expected = CostAnalyzer(CostDBElements()).get_cost_per_kg(composition)
    assert elements.log_price(composition) == pytest.approx(np.log10(expected))


def test_an_element_that_a_table_lacks_is_a_failure(rock_salt: Make) -> None:
    made: Batch = [rock_salt("Am", "O", 5.0), rock_salt("Li", "H", 4.1), rock_salt("Ru", "O", 4.5)]
    for name, known in {
        "log_price": [False, True, True],
        "log_abundance": [False, True, False],
        "hhi_production": [False, False, True],
        "hhi_reserve": [False, False, True],
    }.items():
        found = scored(made, name=name, target="descending", minimum=-5, maximum=1e4)
        assert found.valid.tolist() == known, name
        assert (found.value > 0).tolist() == known


def test_a_band_gap_is_the_mean_of_the_ensemble(chgnet: Potential, batch: Batch) -> None:
    found = scored(batch[:4], name="band_gap", target=4.0, minimum=0, maximum=8)
    features = [answer.features for answer in chgnet.evaluate(batch[:3], forces=False)]
    expected = load_ensemble("band_gap").predict(np.array(features))
    np.testing.assert_allclose(found.components["band_gap"][:3], expected.mean, rtol=1e-4)
    np.testing.assert_allclose(found.components["band_gap_std"][:3], expected.std, rtol=1e-3)
    np.testing.assert_allclose(found.value[:3], 1 - np.abs(expected.mean - 4) / 4, rtol=1e-4)
    assert found.valid.tolist() == [True, True, True, False]
    assert found.value[3] == 0


def test_the_list_has_every_property_that_can_be_computed() -> None:
    assert set(listed.PROPERTIES) == set(get_args(listed.PropertyName))
    predicted = {name: one.potential for name, one in listed.PROPERTIES.items() if one.potential}
    assert predicted == dict.fromkeys(PROPERTIES, FEATURES_OF)
    assert set(listed.PROPERTIES) == {*MEASURED, *PROPERTIES}
    columns = {settings(name=name).column for name in predicted}
    assert columns <= BY_NAME.keys()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"target": 11}, "target 11 must be between minimum 0 and maximum 10"),
        ({"minimum": 10}, "minimum 10 must be below maximum 10"),
        ({"target": "up"}, "Input should be 'ascending' or 'descending'"),
    ],
)
def test_a_target_that_cannot_be_met_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(**keys)
