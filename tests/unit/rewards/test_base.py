"""Rewards made from their settings, and the batch that they return."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystalformer_rl.config.reward_base import GUARDS, HullReward, RewardSettings
from crystalformer_rl.config.rewards import REWARDS, EhullReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.rewards.base import Reward, RewardBatch, Sources, build
from crystalformer_rl.rewards.ehull import Ehull
from crystalformer_rl.stability.reference import ReferenceHull

REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "property": {"name": "density", "target": "ascending", "minimum": 0, "maximum": 10},
    "combine": {
        "how": "product",
        "parts": {"stable": {"reward": {"kind": "ehull"}}, "new": {"reward": {"kind": "novelty"}}},
    },
}
"""Keys without a default; ``file`` needs a path."""


NEEDS_A_MODEL = "matgl_property"
"""Has a test of its own, which needs the package."""


@pytest.fixture(params=[kind for kind in REWARDS if kind != NEEDS_A_MODEL])
def reward(request: pytest.FixtureRequest, hull: ReferenceHull, tmp_path: Path) -> Reward:
    file = tmp_path / "mine.py"
    file.write_text("def score(structures):\n    return [s.density for s in structures]\n")
    path = {"path": str(file)} if request.param == "file" else {}
    settings = REWARDS[request.param](**REQUIRED.get(request.param, path))
    return build(settings, Sources(device="cpu", hull=hull, known={"NaCl"}))


def test_each_reward_records_the_components_that_its_settings_declare(
    reward: Reward, batch: list[Cell | None]
) -> None:
    for cells in (batch, [None]):
        scored = reward.score(cells)
        assert np.isfinite(scored.value).all()
        settings: RewardSettings = reward.settings  # type: ignore[attr-defined]
        assert list(scored.components) == list(settings.components)
        assert scored.struck.keys() <= GUARDS.keys()
        low, high = settings.bounds or (-np.inf, np.inf)
        assert low <= scored.value.min()
        assert scored.value.max() <= high
        assert (scored.value[~scored.valid] == scored.failure).all()
        assert not scored.valid[[cell is None for cell in cells]].any()


@pytest.mark.parametrize(
    "kind", [kind for kind, settings in REWARDS.items() if issubclass(settings, HullReward)]
)
def test_a_reward_that_needs_a_hull_says_so(kind: str) -> None:
    with pytest.raises(ValueError, match=f"the reward {kind}: it needs a hull: give its folder"):
        build(REWARDS[kind](), Sources(device="cpu"))


def test_build(hull: ReferenceHull) -> None:
    ehull = build(EhullReward(), Sources(device="cpu", hull=hull))
    assert isinstance(ehull, Ehull)


def test_a_batch_has_one_shape() -> None:
    value, valid = np.zeros(3), np.ones(3, dtype=np.bool_)
    assert RewardBatch(value, valid, ~valid, {}).abstain.tolist() == [False] * 3
    with pytest.raises(ValueError, match=r"e_above_hull has shape \(2,\), value \(3,\)"):
        RewardBatch(value, valid, ~valid, {"e_above_hull": np.zeros(2)})
    with pytest.raises(ValueError, match=r"abstain has shape \(0,\), value \(3,\)"):
        RewardBatch(value, valid, np.zeros(0, dtype=np.bool_), {})
    with pytest.raises(ValueError, match=r"element has shape \(1,\), value \(3,\)"):
        RewardBatch(value, valid, ~valid, {}, struck={"element": valid[:1]})


@pytest.mark.parametrize(("failure", "expected"), [(-4.0, [1, -1, -3]), (None, [1, -0.5, -3])])
def test_a_discount_moves_values_towards_that_of_a_failure(
    failure: float | None, expected: list[float]
) -> None:
    valid = np.array([True, True, False])
    batch = RewardBatch(np.array([1.0, 2.0, -3.0]), valid, ~valid, {}, failure=failure)
    discounted = batch.discounted(np.array([1.0, 0.5, 0.0]))
    assert discounted.value.tolist() == expected
    assert discounted.valid is valid
