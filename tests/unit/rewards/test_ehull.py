"""The E_hull reward with the real CHGNet, against what it should be by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Structure

from crystalformer_rl.config import EhullReward
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.rewards.ehull import Ehull
from crystalformer_rl.rewards.energies import EnergyAboveHull
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.reference import Elements, ReferenceHull

Batch = list[Structure | None]
Make = Callable[[str, str, float], Structure]


@pytest.fixture(scope="module")
def energies(chgnet: Potential, hull: ReferenceHull) -> EnergyAboveHull:
    return EnergyAboveHull(chgnet, hull)


def test_value_by_hand(energies: EnergyAboveHull, chgnet: Potential, batch: Batch) -> None:
    reward = Ehull(EhullReward(floor=-0.1, ceiling=3.0, repeat_from=None), energies).score(batch)
    assert batch[1] is not None
    energy = chgnet.evaluate([batch[1]], forces=False)[0].energy / 2
    above = energy - (-1.30 - 1.83) / 2 - (-2.1)
    assert reward.components["e_above_hull"][1] == pytest.approx(above, abs=1e-5)
    assert reward.value[1] == pytest.approx(-above, abs=1e-5)
    assert 0.1 < above < 1


def test_failures_are_worth_the_ceiling_and_not_valid(
    energies: EnergyAboveHull, batch: Batch
) -> None:
    reward = Ehull(EhullReward(ceiling=2.5, repeat_from=None), energies).score(batch)
    assert reward.valid.tolist() == [True] * 3 + [False] * 6
    assert (reward.value[3:] == -2.5).all()
    assert reward.abstain.tolist() == [False] * 5 + [True] + [False] * 3
    assert np.isnan(reward.components["e_above_hull"][[3, 4, 6, 7, 8]]).all()
    assert np.isfinite(reward.components["e_above_hull"][5])


def test_floor_and_ceiling_clip_the_value_and_not_the_part(
    energies: EnergyAboveHull, batch: Batch
) -> None:
    settings = EhullReward(floor=0.3, ceiling=0.35, repeat_from=None)
    reward = Ehull(settings, energies).score(batch[:3])
    above = reward.components["e_above_hull"]
    np.testing.assert_allclose(reward.value, -np.clip(above, 0.3, 0.35))
    assert above[0] < 0.3


def test_repeats_move_towards_the_ceiling(energies: EnergyAboveHull, rock_salt: Make) -> None:
    salt, oxide = rock_salt("Na", "Cl", 5.69), rock_salt("Mg", "O", 4.25)
    once = Ehull(EhullReward(ceiling=3.0, repeat_from=2), energies).score([salt, oxide])
    often = Ehull(EhullReward(ceiling=3.0, repeat_from=2), energies).score([salt] * 4 + [oxide])
    weight = (1 + 1 + 0.5 + 0) / 4
    expected = -3 + weight * (once.value[0] + 3)
    np.testing.assert_allclose(often.value[:4], expected, atol=1e-5)
    assert often.value[4] == pytest.approx(once.value[1], abs=1e-5)
    assert often.valid.all()


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
    reward = Ehull(
        EhullReward(repeat_from=None), EnergyAboveHull(chgnet, ReferenceHull(hull, known_elements))
    )
    batch = reward.score([*crystals, None])
    silenced = {"min_references": [True, True], "exclude_ytterbium": [False, True]}
    # An element without a reference, and what is no crystal, are failures under any rule.
    expected = [*silenced.get(next(iter(rule), ""), [False, False]), False, False]
    assert batch.abstain.tolist() == expected
    assert batch.valid.tolist() == [not expected[0], not expected[1], False, False]
    assert np.isfinite(batch.components["e_above_hull"]).tolist() == batch.valid.tolist()
    assert (batch.value[~batch.valid] == -6).all()


def test_an_empty_batch_and_one_of_failures(energies: EnergyAboveHull) -> None:
    reward = Ehull(EhullReward(ceiling=3.0), energies)
    assert reward.score([]).value.shape == (0,)
    failed = reward.score([None, None])
    assert failed.value.tolist() == [-3, -3]
    assert not failed.valid.any()
