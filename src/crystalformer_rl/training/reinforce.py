"""RL fine-tuning of a policy, one round of steps at a time."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from crystalformer_rl.config import RLSettings
from crystalformer_rl.jobs.checkpoints import Checkpoint, restore_training, training_tensors
from crystalformer_rl.jobs.loop import Loop
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.model.constraints import build
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.prompts import sample_space_groups
from crystalformer_rl.rewards.base import Reward
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.training.algorithm import Algorithm, Batch, Update
from crystalformer_rl.training.assessment import assess
from crystalformer_rl.training.crystals import RoundCrystals, crystal_rows
from crystalformer_rl.training.dpo import DPO
from crystalformer_rl.training.fit import Row, Track
from crystalformer_rl.training.past import Past
from crystalformer_rl.training.ppo import PPO
from crystalformer_rl.training.replay import with_elites
from crystalformer_rl.training.rollout import Rollout, collect
from crystalformer_rl.training.round_state import RoundState
from crystalformer_rl.training.scoring import scoring_room, share_size
from crystalformer_rl.training.steering import learning_rate

Floats = NDArray[np.float64]

log = logging.getLogger(__name__)


def algorithm(settings: RLSettings) -> Algorithm:
    """The algorithm that the settings name.

    Raises
    ------
    ValueError
        If it is iterated SFT, whose rounds are jobs of the stage ``sft``.
    """
    if settings.dpo is not None:
        return DPO(settings.dpo, settings.clip_norm)
    if settings.algorithm == "ppo":
        return PPO(settings)
    raise ValueError(f"algorithm {settings.algorithm} is a matter of the stage sft, not of rl")


def reinforce(
    policy: Policy,
    base: Policy,
    reward: Reward,
    *,
    settings: RLSettings,
    prompts: Floats,
    round_number: int,
    seed: int,
    loop: Loop,
    previous: RoundState,
    earlier: Iterable[pd.DataFrame] = (),
    known: AbstractSet[str] = frozenset(),
    parallel: Parallel = SINGLE,
    track: Track = iter,
    record: Callable[[Row], None] | None = None,
) -> tuple[list[Row], RoundState, pd.DataFrame]:
    """Make ``settings.steps`` steps on ``policy`` in place; return history, state and crystals.

    Each step samples a batch, computes rewards and advantages, and updates the policy by the
    algorithm of the branch. Dropout is off and the network is in float32, because bfloat16 cannot
    resolve a probability ratio near 1. Every round starts with a new Adam, so that it depends only
    on the policy and the state that it starts from. A resumed round equals an uninterrupted one,
    bit for bit on a CPU: each step derives its seed from ``seed`` and its number.

    Several processes share the work, with the crystals that one would sample: see
    :func:`~crystalformer_rl.training.rollout.collect`. Gradients are summed over them, and
    everything else is computed by each from the same numbers.

    Parameters
    ----------
    base
        The frozen policy to which the KL penalty refers.
    prompts
        (231,) probability of each space group; index 0 is unused.
    seed
        Seed of this round of this branch.
    previous
        State after the round before.
    earlier
        The crystals of each step of the rounds before, with the columns of
        :data:`crystalformer_rl.training.past.READ`.
    known
        Reduced formulas of the dataset, for a memory that discounts them.
    parallel
        The processes that share the work. All call this function with the same arguments and return
        the same, but for the column ``seconds``.
    track
        Wraps the range of steps, for example with a progress bar.
    record
        Called with each new row of the history.

    Returns
    -------
    list of dict
        One row per step: step (over all rounds), round, reward_mean and reward_std (failures
        included, abstentions not), valid_fraction, abstain_fraction, kl (nats, of the policy that
        sampled the batch), unique_fraction, columns of the algorithm, baseline (its mean over the
        crystals that count), tau, seconds, NAME_fraction of the batch that each guard struck, and
        NAME_mean of every component of the reward over the valid crystals (None where there is
        none). Rewards are those before the memory discounts them. The columns of the memory are
        those of :meth:`Past.metrics`.
    RoundState
        For the next round.
    DataFrame
        Every crystal of the round, see :func:`crystalformer_rl.training.crystals.crystal_rows`.

    Raises
    ------
    ValueError
        If the constraints are contradictory or impossible in a space group of the prompts, or the
        memory discounts what the dataset has and nothing is given as ``known``.
    DivergedError
        If a probability, loss or gradient is not finite.
    Interrupted
        If the job received a request to stop.
    """
    base.eval()
    constraints = build(settings.constraints, max_sites=policy.settings.max_sites)
    constraints.check(np.flatnonzero(prompts).tolist())
    optimiser = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
    method = algorithm(settings)
    state = previous
    history: list[Row] = []
    crystals = RoundCrystals()

    def checkpoint() -> Checkpoint:
        values = {"history": history, "state": state.values()}
        return Checkpoint(training_tensors(policy, optimiser) | crystals.tensors(), values)

    if (saved := loop.resume()) is not None:
        restore_training(saved, policy, optimiser)
        history, state = list(saved.values["history"]), RoundState.restore(saved.values["state"])
        crystals = RoundCrystals.restore(saved.tensors)
    parallel.check_same_step(len(history))
    past = Past(settings.memory, settings.elites, known).after([*earlier, *crystals.tables()])

    for step in track(range(len(history), settings.steps)):
        start = time.monotonic()
        before = _frozen(checkpoint())
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
                parallel=parallel,
            )
        row: Row = {"step": state.step + 1, "round": round_number} | _describe(rollout)
        weight = past.weights(rollout.tokens, rollout.rewards.valid)
        discounted = replace(rollout, rewards=rollout.rewards.discounted(weight))
        assessed, state = assess(discounted, state, settings=settings)
        if not (finite := np.isfinite(assessed.advantage)).all():
            at_fault = _names(rollout, np.flatnonzero(~finite))
            raise loop.diverged("a log-probability", step, at_fault, before)
        rows = crystal_rows(row["step"], rollout, weight=weight, advantage=assessed.advantage)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, settings=settings)
        batch = Batch(
            tokens=rollout.tokens,
            log_prob=rollout.log_prob,
            base_log_prob=rollout.base_log_prob,
            rewards=discounted.rewards,
            advantage=assessed.advantage,
            constraints=constraints,
            seed=step_seed,
            parallel=parallel,
        )
        if settings.elites.weight:
            batch = with_elites(batch, policy, past, assessed, settings=settings)
        update = _update(method, policy, optimiser, batch)
        if not update.finite:
            everyone = _names(rollout, range(len(rollout.cells)))
            raise loop.diverged("the loss or its gradient", step, everyone, before)
        crystals.add(rows)
        row |= update.columns | past.metrics(rows, after := past.after([rows]))
        row |= {
            "baseline": _mean(assessed.baseline[~rollout.rewards.abstain]),
            "tau": assessed.tau,
        }
        past = after
        row |= {"seconds": time.monotonic() - start}
        history = [*history, row]
        if record is not None:
            record(row)
        if parallel.first:
            log.info("%s", ", ".join(f"{name} {_short(value)}" for name, value in row.items()))
        loop.step_done(step + 1, checkpoint)
    return history, state, crystals.table()


def _update(
    method: Algorithm, policy: Policy, optimiser: torch.optim.Optimizer, batch: Batch
) -> Update:
    update = method.update(policy, optimiser, batch)
    room = scoring_room(next(policy.parameters()).device.type)
    room.fitted(share_size(batch.tokens, batch.parallel))
    return update


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
    row |= {f"{name}_fraction": float(struck.mean()) for name, struck in rewards.struck.items()}
    for name, numbers in rewards.components.items():
        row[f"{name}_mean"] = _mean(numbers[rewards.valid & np.isfinite(numbers)])
    return row


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _names(rollout: Rollout, indices: Sequence[int] | NDArray[np.int64] | range) -> list[str]:
    labels = rollout.labels()
    return [f"{index} {labels[index] or 'undecodable'}" for index in indices]


def _frozen(state: Checkpoint) -> Checkpoint:
    """A copy of the state that later updates of the weights do not change."""
    return Checkpoint({k: v.detach().clone() for k, v in state.tensors.items()}, state.values)
