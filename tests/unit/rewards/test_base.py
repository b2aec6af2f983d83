"""Rewards made from their settings, and the batch that they return."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Structure

from crystalformer_rl.config.rewards import REWARDS, EhullReward, HullReward
from crystalformer_rl.rewards.base import Reward, RewardBatch, build
from crystalformer_rl.rewards.ehull import Ehull
from crystalformer_rl.stability.reference import ReferenceHull


@pytest.fixture(params=REWARDS)
def reward(request: pytest.FixtureRequest, hull: ReferenceHull, tmp_path: Path) -> Reward:
    file = tmp_path / "mine.py"
    file.write_text("def score(structures):\n    return [s.density for s in structures]\n")
    required: Mapping[str, Any] = {"path": str(file)} if request.param == "file" else {}
    return build(REWARDS[request.param](**required), hull=hull, device="cpu")


def test_each_reward_records_the_components_that_its_settings_declare(
    reward: Reward, batch: list[Structure | None]
) -> None:
    for structures in (batch, [None]):
        scored = reward.score(structures)
        assert np.isfinite(scored.value).all()
        assert list(scored.components) == list(reward.settings.components)  # type: ignore[attr-defined]
        assert not scored.valid[[structure is None for structure in structures]].any()


@pytest.mark.parametrize(
    "kind", [kind for kind, settings in REWARDS.items() if issubclass(settings, HullReward)]
)
def test_a_reward_that_needs_a_hull_says_so(kind: str) -> None:
    with pytest.raises(ValueError, match=f"the reward {kind} needs a hull: give its folder with"):
        build(REWARDS[kind](), device="cpu")


def test_build(hull: ReferenceHull) -> None:
    ehull = build(EhullReward(), hull=hull, device="cpu")
    assert isinstance(ehull, Ehull)


def test_a_batch_has_one_shape() -> None:
    value, valid = np.zeros(3), np.ones(3, dtype=np.bool_)
    assert RewardBatch(value, valid, ~valid, {}).abstain.tolist() == [False] * 3
    with pytest.raises(ValueError, match=r"e_above_hull has shape \(2,\), value \(3,\)"):
        RewardBatch(value, valid, ~valid, {"e_above_hull": np.zeros(2)})
    with pytest.raises(ValueError, match=r"abstain has shape \(0,\), value \(3,\)"):
        RewardBatch(value, valid, np.zeros(0, dtype=np.bool_), {})
