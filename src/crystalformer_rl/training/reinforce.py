"""RL fine-tuning of a policy, one round of steps at a time."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.config import RLSettings
from crystalformer_rl.jobs.checkpoints import Checkpoint, restore_training, training_tensors
from crystalformer_rl.jobs.loop import Loop
from crystalformer_rl.model.constraints import build
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.prompts import sample_space_groups
from crystalformer_rl.rewards.base import Reward
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.training import ppo
from crystalformer_rl.training.fit import Row, Track
from crystalformer_rl.training.rollout import Rollout, collect

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundState:
    """What one round passes to the next in addition to the weights.

    Attributes
    ----------
    step
        Number of steps in all rounds so far.
    baseline
        Running mean reward, in the reward's units; None before the first batch.
    """

    step: int = 0
    baseline: float | None = None


def reinforce(
    policy: Policy,
    base: Policy,
    reward: Reward,
    *,
    settings: RLSettings,
    prompts: NDArray[np.float64],
    round_number: int,
    seed: int,
    loop: Loop,
    previous: RoundState,
    track: Track = iter,
    record: Callable[[Row], None] | None = None,
) -> tuple[list[Row], RoundState]:
    """Make ``settings.steps`` steps on ``policy`` in place; return history and round state.

    Each step samples a batch, computes rewards, and makes ``settings.ppo_epochs`` gradient steps on
    it (:mod:`crystalformer_rl.training.ppo`). Dropout is off and the network is in float32, because
    bfloat16 cannot resolve a probability ratio near 1. Every round starts with a new Adam, so that
    it depends only on the policy it starts from. A resumed round equals an uninterrupted one, bit
    for bit on a CPU: each step derives its seed from ``seed`` and its number.

    Parameters
    ----------
    base
        The frozen policy to which the KL penalty refers.
    prompts
        (231,) probability of each space group; index 0 is unused.
    seed
        Seed of this round of this branch.
    track
        Wraps the range of steps, for example with a progress bar.
    record
        Called with each new row of the history.

    Returns
    -------
    list of dict
        One row per step: step (over all rounds), round, reward_mean and reward_std (failures
        included, abstentions not), valid_fraction, abstain_fraction, kl (nats, of the policy that
        sampled the batch), unique_fraction, ratio_max, grad_norm, baseline, seconds, and NAME_mean
        of every component of the reward over the valid crystals (None where there is none).
    RoundState
        For the next round.

    Raises
    ------
    ValueError
        If the constraints are contradictory or impossible in a space group of the prompts.
    DivergedError
        If a probability, loss or gradient is not finite.
    Interrupted
        If the job received a request to stop.
    """
    base.eval()
    constraints = build(settings.constraints, max_sites=policy.settings.max_sites)
    constraints.check(np.flatnonzero(prompts).tolist())
    optimiser = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
    baseline = previous.baseline
    history: list[Row] = []

    def state() -> Checkpoint:
        values = {"history": history, "baseline": baseline}
        return Checkpoint(training_tensors(policy, optimiser), values)

    if (checkpoint := loop.resume()) is not None:
        restore_training(checkpoint, policy, optimiser)
        history, baseline = list(checkpoint.values["history"]), checkpoint.values["baseline"]

    for step in track(range(len(history), settings.steps)):
        start = time.monotonic()
        before = _frozen(state())
        step_seed = derive_seed(seed, "step", step)
        groups = sample_space_groups(prompts, settings.batch_size, seed=step_seed)
        with loop.interruptible(step, lambda saved=before: saved):  # type: ignore[misc]
            rollout = collect(
                policy,
                base,
                reward,
                space_groups=groups,
                constraints=constraints,
                seed=step_seed,
            )
        rewards = rollout.rewards
        baseline = ppo.running_baseline(baseline, rewards, decay=settings.baseline_decay)
        ratio_to_base = rollout.log_ratio_to_base
        gain = ppo.advantages(
            rewards, ratio_to_base, baseline=baseline, weight=settings.weight, tau=settings.tau
        )
        if not np.isfinite(gain).all():
            at_fault = _names(rollout, np.flatnonzero(~np.isfinite(gain)))
            raise loop.diverged("a log-probability", step, at_fault, before)
        update = ppo.update(
            policy,
            optimiser,
            rollout.tokens,
            old_log_prob=rollout.log_prob,
            advantage=gain,
            constraints=constraints,
            settings=settings,
        )
        if not update.finite:
            everyone = _names(rollout, range(len(rewards.value)))
            raise loop.diverged("the loss or its gradient", step, everyone, before)
        row: Row = {"step": previous.step + step + 1, "round": round_number} | _describe(rollout)
        row |= {
            "ratio_max": update.ratio_max,
            "grad_norm": update.grad_norm,
            "baseline": baseline,
            "seconds": time.monotonic() - start,
        }
        history = [*history, row]
        if record is not None:
            record(row)
        log.info("%s", ", ".join(f"{name} {_short(value)}" for name, value in row.items()))
        loop.step_done(step + 1, state)
    return history, RoundState(step=previous.step + settings.steps, baseline=baseline)


def _describe(rollout: Rollout) -> Row:
    rewards = rollout.rewards
    rewarded = rewards.value[~rewards.abstain]
    row: Row = {
        "reward_mean": _mean(rewarded),
        "reward_std": float(rewarded.std()) if rewarded.size else None,
        "valid_fraction": float(rewards.valid.mean()),
        "abstain_fraction": float(rewards.abstain.mean()),
        "kl": float(rollout.log_ratio_to_base.mean()),
        "unique_fraction": rollout.unique_fraction(),
    }
    for name, numbers in rewards.components.items():
        row[f"{name}_mean"] = _mean(numbers[rewards.valid & np.isfinite(numbers)])
    return row


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if values.size else None


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _names(rollout: Rollout, indices: Sequence[int] | NDArray[np.int64] | range) -> list[str]:
    labels = rollout.labels()
    return [f"{index} {labels[index] or 'undecodable'}" for index in indices]


def _frozen(state: Checkpoint) -> Checkpoint:
    """A copy of the state that later updates of the weights do not change."""
    return Checkpoint({k: v.detach().clone() for k, v in state.tensors.items()}, state.values)
