"""The figure-of-merit reward with the real CHGNet and the shipped property models."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crystalformer_rl.config import FigureOfMeritReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.properties.ensemble import load_ensemble
from crystalformer_rl.rewards.energies import EnergyAboveHull
from crystalformer_rl.rewards.figure_of_merit import FigureOfMerit
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.reference import Elements, ReferenceHull

Batch = list[Cell | None]
Make = Callable[[str, str, float], Cell]
Build = Callable[..., FigureOfMerit]


@pytest.fixture(scope="module")
def build(chgnet: Potential, hull: ReferenceHull) -> Build:
    def make(surface: ReferenceHull = hull, **settings: Any) -> FigureOfMerit:
        return FigureOfMerit(
            FigureOfMeritReward(**settings),
            EnergyAboveHull(chgnet, surface),
            load_ensemble("band_gap"),
            load_ensemble("dielectric"),
        )

    return make


def test_value_is_the_product_of_cautious_bounds(
    build: Build, chgnet: Potential, batch: Batch
) -> None:
    reward = build(caution=0.5, scale=None).score(batch[:3])
    made = reward.components
    features = [e.features for e in chgnet.evaluate(batch[:3], forces=False)]
    gap = load_ensemble("band_gap").predict(np.array(features))
    np.testing.assert_allclose(made["band_gap"], gap.mean, rtol=1e-4)
    expected = np.maximum(0, made["band_gap"] - 0.5 * made["band_gap_std"]) * np.maximum(
        1, made["dielectric"] - 0.5 * made["dielectric_std"]
    )
    np.testing.assert_allclose(reward.value, expected)
    np.testing.assert_allclose(made["figure_of_merit"], made["band_gap"] * made["dielectric"])
    assert (reward.value > 3).all()


def test_more_caution_never_earns_more(build: Build, batch: Batch) -> None:
    bold, careful, timid = (build(caution=caution).score(batch).value for caution in (0, 1, 100))
    assert (bold >= careful).all()
    assert (careful >= timid).all()
    assert (timid == 0).all()


def test_the_value_falls_with_the_energy_above_hull(build: Build, batch: Batch) -> None:
    free, falling = (build(scale=scale).score(batch[:3]) for scale in (None, 0.2))
    above = falling.components["e_above_hull"]
    assert above[1] > 0.1
    np.testing.assert_allclose(falling.value, free.value * np.exp(-np.maximum(above, 0) / 0.2))
    assert (falling.components["unstable"] == 0).all()


def test_unstable_crystals_score_nothing_but_are_valid(build: Build, batch: Batch) -> None:
    reward = build(max_e_above_hull=0.1).score(batch[:3])
    above = reward.components["e_above_hull"]
    assert (reward.components["unstable"] == (above > 0.1)).all()
    assert reward.components["unstable"].tolist() == [0, 1, 0]
    assert reward.value[1] == 0
    assert reward.valid.all()


def test_failures_score_nothing_and_are_not_valid(build: Build, batch: Batch) -> None:
    reward = build().score(batch)
    assert reward.valid.tolist() == [True] * 3 + [False] * 6
    assert (reward.value[3:] == 0).all()
    assert reward.struck["element"].tolist() == [False] * 5 + [True] + [False] * 3
    assert not reward.abstain.any()
    assert (
        build(guards=["unsupported"]).score(batch).abstain.tolist()
        == [False] * 5 + [True] + [False] * 3
    )
    assert np.isnan(reward.components["band_gap"][[3, 4, 7, 8]]).all()
    failed = build().score([None])
    assert failed.value.tolist() == [0]
    assert build().score([]).value.shape == (0,)


def test_without_the_guard_a_missing_reference_is_no_failure(build: Build, batch: Batch) -> None:
    assert not build().score(batch[6:7]).valid[0]
    assert not build(scale=None, max_e_above_hull=1.0).score(batch[6:7]).valid[0]
    assert build(scale=None).score(batch[6:7]).valid[0]


def test_artefacts_of_the_potential_score_nothing(
    build: Build, batch: Batch, elements: Elements
) -> None:
    high = ReferenceHull(Hull(["NaCl"], [-1.9], elements=elements.energies), elements)
    guarded, bold = (
        build(high, guards=guards).score(batch[:1]) for guards in (["artefact"], "none")
    )
    assert guarded.components["e_above_hull"][0] < -0.1
    assert guarded.value.tolist() == [0]
    assert guarded.struck["artefact"].tolist() == [True]
    assert bold.value[0] > 0


@pytest.mark.parametrize(
    ("settings", "asked"),
    [({}, True), ({"scale": None, "max_e_above_hull": 1.0}, True), ({"scale": None}, False)],
)
def test_a_silent_hull_is_no_failure(
    build: Build, batch: Batch, elements: Elements, settings: dict[str, Any], asked: bool
) -> None:
    """If the value depends on the hull the reward abstains; otherwise the hull is not asked."""
    sparse = Hull([], [], elements=["Na", "Cl", "Mg", "O"], min_references=3)
    reward = build(ReferenceHull(sparse, elements), guards="none", **settings).score(batch[:4])
    assert reward.abstain.tolist() == [asked] * 3 + [False]
    assert reward.valid.tolist() == [not asked] * 3 + [False]
    assert (reward.value > 0).tolist() == [not asked] * 3 + [False]
