"""The registry of rewards and the batch that they return."""

from typing import get_args

import numpy as np
import pytest

from crystalformer_rl.config import EhullReward, FigureOfMeritReward, RLSettings
from crystalformer_rl.rewards.base import REWARDS, RewardBatch, build
from crystalformer_rl.rewards.ehull import Ehull
from crystalformer_rl.rewards.figure_of_merit import FigureOfMerit
from crystalformer_rl.stability.reference import ReferenceHull


def test_each_kind_in_the_config_is_registered() -> None:
    union = RLSettings.model_fields["reward"].annotation
    assert {kind.model_fields["kind"].default for kind in get_args(union)} == set(REWARDS)


def test_build(hull: ReferenceHull) -> None:
    ehull = build(EhullReward(), hull=hull, device="cpu")
    assert isinstance(ehull, Ehull)
    merit = build(FigureOfMeritReward(), hull=hull, device="cpu")
    assert isinstance(merit, FigureOfMerit)
    strange = EhullReward.model_construct(kind="beauty")
    with pytest.raises(ValueError, match="no reward 'beauty'; there are: ehull, figure_of_merit"):
        build(strange, hull=hull, device="cpu")


def test_a_batch_has_one_shape() -> None:
    value, valid = np.zeros(3), np.ones(3, dtype=np.bool_)
    batch = RewardBatch(value, valid, {})
    assert batch.abstain.tolist() == [False] * 3
    with pytest.raises(ValueError, match=r"e_above_hull has shape \(2,\), value \(3,\)"):
        RewardBatch(value, valid, {"e_above_hull": np.zeros(2)})
