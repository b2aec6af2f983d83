"""The E_hull reward with the real CHGNet, against what it should be by hand."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.config import EhullReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.rewards.ehull import Ehull, falling
from crystalformer_rl.rewards.energies import EnergyAboveHull
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.reference import Elements, ReferenceHull

Batch = list[Cell | None]
Make = Callable[[str, str, float], Cell]


@pytest.fixture(scope="module")
def energies(chgnet: Potential, hull: ReferenceHull) -> EnergyAboveHull:
    return EnergyAboveHull(chgnet, hull)


def linear(**settings: Any) -> EhullReward:
    """The linear reward without guards, as in the paper."""
    plain = {"shape": "linear", "guards": "none"}
    return EhullReward(**plain | settings)


@pytest.mark.gpu
def test_linear_value_by_hand(energies: EnergyAboveHull, chgnet: Potential, batch: Batch) -> None:
    reward = Ehull(linear(floor=-0.1, ceiling=3.0), energies).score(batch)
    assert batch[1] is not None
    energy = chgnet.evaluate([batch[1]], forces=False)[0].energy / 2
    above = energy - (-1.30 - 1.83) / 2 - (-2.1)
    assert reward.components["e_above_hull"][1] == pytest.approx(above, abs=1e-5)
    assert reward.value[1] == pytest.approx(-above, abs=1e-5)
    assert 0.1 < above < 1
    shaped = Ehull(EhullReward(scale=0.2), energies).score(batch)
    assert shaped.value[1] == pytest.approx(math.exp(-above / 0.2), rel=1e-4)
    assert shaped.value[3:].tolist() == [0] * 6


@given(
    energies_=st.lists(st.floats(-2, 20), min_size=2, max_size=20).map(sorted),
    shape=st.sampled_from(["linear", "saturating"]),
)
def test_a_higher_energy_never_earns_more(energies_: list[float], shape: Any) -> None:
    settings = EhullReward(shape=shape)
    values = falling(np.array([*energies_, np.nan]), settings)
    assert (np.diff(values) <= 0).all()
    low, high = settings.bounds
    assert ((values >= low) & (values <= high)).all()
    assert values[-1] == low


def test_the_order_of_a_batch_does_not_matter(energies: EnergyAboveHull, batch: Batch) -> None:
    for settings in (EhullReward(), EhullReward(shape="linear")):
        straight = Ehull(settings, energies).score(batch)
        turned = Ehull(settings, energies).score(batch[::-1])
        np.testing.assert_allclose(straight.value, turned.value[::-1], atol=1e-5)


@pytest.mark.gpu
def test_a_few_steps_of_relaxation_lower_the_energy(
    energies: EnergyAboveHull, batch: Batch
) -> None:
    still, relaxed, longer = (
        Ehull(EhullReward(relax_steps=steps), energies).score(batch) for steps in (0, 2, 5)
    )
    above = [one.components["e_above_hull"] for one in (still, relaxed, longer)]
    assert above[0][1] > above[1][1] > above[2][1]
    assert (longer.valid == still.valid).all()


def test_failures_are_worth_the_low_quantile_of_a_linear_batch(
    energies: EnergyAboveHull, batch: Batch
) -> None:
    settings = EhullReward(shape="linear")
    reward = Ehull(settings, energies).score(batch)
    assert reward.failure == pytest.approx(np.quantile(reward.value[:3], 0.05))
    assert (reward.value[3:] == reward.failure).all()
    # Undecodable, overlapping, of an unknown element, without reference, collapsed.
    assert reward.struck["failures"].tolist() == [False] * 3 + [True, True, False, True, True, True]
    assert reward.struck["element"].tolist() == [False] * 5 + [True] + [False] * 3
    none = Ehull(settings, energies).score([None])
    assert none.value.tolist() == [-6]


def test_failures_are_worth_the_ceiling_and_not_valid(
    energies: EnergyAboveHull, batch: Batch
) -> None:
    guarded = linear(ceiling=2.5, guards=["element", "unsupported"])
    reward = Ehull(guarded, energies).score(batch)
    assert reward.valid.tolist() == [True] * 3 + [False] * 6
    assert (reward.value[3:] == -2.5).all()
    assert not reward.abstain.any()
    abstaining = Ehull(linear(guards=["unsupported"]), energies).score(batch)
    assert abstaining.abstain.tolist() == [False] * 5 + [True] + [False] * 3
    assert Ehull(linear(), energies).score(batch).valid[5]
    assert np.isnan(reward.components["e_above_hull"][[3, 4, 6, 7, 8]]).all()
    assert np.isfinite(reward.components["e_above_hull"][5])


def test_floor_and_ceiling_clip_the_value_and_not_the_part(
    energies: EnergyAboveHull, batch: Batch
) -> None:
    settings = linear(floor=0.3, ceiling=0.35)
    reward = Ehull(settings, energies).score(batch[:3])
    above = reward.components["e_above_hull"]
    np.testing.assert_allclose(reward.value, -np.clip(above, 0.3, 0.35))
    assert above[0] < 0.3


def test_sparse_hulls_abstain(energies: EnergyAboveHull, batch: Batch) -> None:
    reward = Ehull(EhullReward(min_references=4), energies).score(batch[:3])
    assert reward.components["references"].tolist() == [3, 3, 3]
    assert reward.abstain.all()
    assert not reward.valid.any()
    assert Ehull(EhullReward(min_references=3), energies).score(batch[:3]).valid.all()


@pytest.mark.parametrize("rule", [{"min_references": 4}, {"exclude_ytterbium": True}, {}])
def test_where_the_hull_has_a_rule_against_judging_the_reward_abstains(
    chgnet: Potential, elements: Elements, rock_salt: Make, rule: dict[str, int]
) -> None:
    known_elements = replace(elements, energies={**elements.energies, "Yb": -1.5})
    known = ["NaCl", "NaMgCl", "YbO"]
    hull = Hull(known, [-2.1, -1.5, -3.0], elements=known_elements.energies, **rule)
    crystals = [rock_salt("Na", "Cl", 5.69), rock_salt("Yb", "O", 4.9), rock_salt("Kr", "O", 5.0)]
    reward = Ehull(linear(), EnergyAboveHull(chgnet, ReferenceHull(hull, known_elements)))
    batch = reward.score([*crystals, None])
    silenced = {"min_references": [True, True], "exclude_ytterbium": [False, True]}
    # An element without a reference, and what is no crystal, are failures under any rule.
    expected = [*silenced.get(next(iter(rule), ""), [False, False]), False, False]
    assert batch.abstain.tolist() == expected
    assert batch.valid.tolist() == [not expected[0], not expected[1], False, False]
    assert np.isfinite(batch.components["e_above_hull"]).tolist() == batch.valid.tolist()
    assert (batch.value[~batch.valid] == -6).all()


def test_an_empty_batch_and_one_of_failures(energies: EnergyAboveHull) -> None:
    reward = Ehull(linear(ceiling=3.0), energies)
    assert reward.score([]).value.shape == (0,)
    failed = reward.score([None, None])
    assert failed.value.tolist() == [-3, -3]
    assert not failed.valid.any()
