"""Replay of elites in an update."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from crystalformer_rl.config import ConstraintSettings, RLSettings
from crystalformer_rl.crystal.token_table import tokens_of
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import build
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training.advantages import scale_of
from crystalformer_rl.training.algorithm import Batch
from crystalformer_rl.training.assessment import Assessment, assess
from crystalformer_rl.training.crystals import crystal_rows
from crystalformer_rl.training.past import Past
from crystalformer_rl.training.ppo import PPO
from crystalformer_rl.training.replay import with_elites
from crystalformer_rl.training.rollout import Rollout
from crystalformer_rl.training.round_state import RoundState
from crystalformer_rl.training.scoring import log_probs

SETTINGS = RLSettings(elites={"weight": 0.5, "kept": 4, "replayed": 4}, tau=0.0, ppo_epochs=2)
FREE = build(ConstraintSettings(), max_sites=6)


def rollout_of(policy: Policy, crystals: CrystalTokens, value: np.ndarray) -> Rollout:
    scored = log_probs(policy, crystals, constraints=FREE)
    flags = np.ones(len(crystals), dtype=bool)
    rewards = RewardBatch(value, flags, ~flags, {}, failure=-1.0)
    nothing = [None] * len(crystals)
    return Rollout(crystals, nothing, scored.total, scored.total - 0.1, scored.discrete, rewards)


@pytest.fixture
def policy(new_policy: Callable[[], Policy]) -> Policy:
    return new_policy()


@pytest.fixture
def rollout(policy: Policy, crystals: CrystalTokens) -> Rollout:
    return rollout_of(policy, crystals, np.linspace(0, 1, 30))


def past_of(rollout: Rollout, settings: RLSettings = SETTINGS) -> Past:
    ones = np.ones(len(rollout.tokens))
    rows = crystal_rows(1, rollout, weight=ones, advantage=ones)
    return Past(settings.memory, settings.elites).after([rows])


def batch_of(rollout: Rollout, settings: RLSettings = SETTINGS) -> tuple[Batch, Assessment]:
    assessed, _ = assess(rollout, RoundState(), settings=settings)
    batch = Batch(
        tokens=rollout.tokens,
        log_prob=rollout.log_prob,
        base_log_prob=rollout.base_log_prob,
        rewards=rollout.rewards,
        advantage=assessed.advantage,
        constraints=FREE,
        seed=3,
    )
    return batch, assessed


def test_the_best_crystals_join_the_batch(policy: Policy, rollout: Rollout) -> None:
    past, (batch, assessed) = past_of(rollout), batch_of(rollout)
    more = with_elites(batch, policy, past, assessed, settings=SETTINGS)
    assert len(more.tokens) == len(more.log_prob) == len(more.base_log_prob) == 34
    kept = tokens_of(past.elites.rows)
    assert set(kept.space_group) == {225}
    np.testing.assert_array_equal(more.tokens[range(30, 34)].space_group, kept.space_group)
    assert (more.rewards.value[30:] > 0.8).all()
    assert (more.advantage[30:] > 0).all()
    np.testing.assert_array_equal(more.advantage[:30], batch.advantage)
    torch.testing.assert_close(
        more.log_prob[30:] - more.base_log_prob[30:],
        torch.full((4,), 0.1).double(),
        atol=1e-4,
        rtol=0,
    )


@pytest.mark.parametrize("baseline", ["running", "leave_one_out", "space_group"])
@pytest.mark.parametrize("advantage", ["raw", "standardised"])
def test_an_elite_is_worth_what_a_sample_is(
    policy: Policy, rollout: Rollout, baseline: str, advantage: str
) -> None:
    """Half as much by its weight, and with the baseline of crystals outside the batch."""
    settings = SETTINGS.model_copy(
        update={"baseline": baseline, "advantage": advantage, "advantage_clip": None, "tau": 0.2}
    )
    batch, assessed = batch_of(rollout, settings)
    more = with_elites(batch, policy, past_of(rollout, settings), assessed, settings=settings)
    spread = scale_of(rollout.rewards, assessed.baseline, settings=settings).spread
    gain = 2 * more.advantage[30:] + 0.2 * 0.1
    expected = more.rewards.value[30:] - gain * spread
    mean = rollout.rewards.value.mean()
    if baseline == "space_group":
        inside = rollout.rewards.value[rollout.tokens.space_group == 225]
        mean = (inside.sum() + 5 * mean) / (len(inside) + 5)
    np.testing.assert_allclose(expected, mean, rtol=0, atol=1e-4)


def test_elites_are_discounted_as_one_more_occurrence(policy: Policy, rollout: Rollout) -> None:
    settings = SETTINGS.model_copy(
        update={"memory": SETTINGS.memory.model_copy(update={"full": 1, "none": 3})}
    )
    batch, assessed = batch_of(rollout, settings)
    past = past_of(rollout, settings)
    more = with_elites(batch, policy, past, assessed, settings=settings)
    best = past.elites.rows["value"].to_numpy(dtype=float)
    weight = past.memory.next_weights(past.elites.rows["key"].to_numpy(), settings.memory)
    assert (weight < 1).all()
    assert sorted(more.rewards.value[30:]) == pytest.approx(sorted(-1 + weight * (best + 1)))


def test_what_is_worse_than_expected_does_not_pull(policy: Policy, rollout: Rollout) -> None:
    past = past_of(rollout)
    better = replace(rollout, rewards=replace(rollout.rewards, value=rollout.rewards.value + 5))
    batch, assessed = batch_of(better)
    more = with_elites(batch, policy, past, assessed, settings=SETTINGS)
    assert (more.advantage[30:] == 0).all()


def test_without_elites_the_batch_is_the_same(policy: Policy, rollout: Rollout) -> None:
    batch, assessed = batch_of(rollout)
    past = Past(SETTINGS.memory, SETTINGS.elites)
    assert with_elites(batch, policy, past, assessed, settings=SETTINGS) is batch


def test_an_update_makes_elites_more_probable(policy: Policy, rollout: Rollout) -> None:
    """With nothing else to learn: all crystals of the batch have the same reward."""
    past = past_of(rollout)
    flat = replace(rollout, rewards=replace(rollout.rewards, value=np.full(30, 0.5)))
    settings = SETTINGS.model_copy(update={"advantage": "raw", "learning_rate": 0.003})
    batch, assessed = batch_of(flat, settings)
    more = with_elites(batch, policy, past, assessed, settings=settings)
    optimiser = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
    assert PPO(settings).update(policy, optimiser, more).finite
    kept: pd.DataFrame = past.elites.rows
    after = log_probs(policy, tokens_of(kept), constraints=batch.constraints).total
    before = torch.from_numpy(kept["base_log_prob"].to_numpy(dtype=float)) + 0.1
    assert (after > before + 0.01).all()
