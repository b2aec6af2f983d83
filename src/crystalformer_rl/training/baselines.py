"""Baselines, which are subtracted from the rewards to reduce the variance of the policy gradient.

A baseline that does not depend on the crystal's own reward leaves the expected gradient unchanged
(Williams, Machine Learning 8, 229, 1992). ``leave_one_out`` and ``space_group`` are such baselines;
``running`` contains the batch itself with a small weight, as published.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config import RLSettings
from crystalformer_rl.rewards.base import RewardBatch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BaselineState:
    """The state of a baseline after the previous steps.

    Attributes
    ----------
    mean
        Running mean of the mean rewards of the batches; None before the first batch.
    groups
        By space group: decayed sum of the rewards, and decayed number of crystals.
    """

    mean: float | None = None
    groups: Mapping[int, tuple[float, float]] = field(default_factory=dict)


def baseline(
    state: BaselineState,
    rewards: RewardBatch,
    space_groups: NDArray[np.int64],
    *,
    settings: RLSettings,
) -> tuple[Floats, BaselineState]:
    """The (B,) baseline of each crystal, and the state for the next step.

    Crystals from which the reward abstains are ignored; without any other, the baseline is the
    remembered one, or 0.

    ``running``: b ← λb + (1 − λ) mean(r), including this batch and starting at its mean
    (arXiv 2504.02367).

    ``leave_one_out``: b_i = mean of r_j over j ≠ i (Kool et al., 2019,
    https://openreview.net/forum?id=r1lgTGL5DE).

    ``space_group``: b_i = (S_g + κ m_i) / (N_g + κ) with the decayed sum S_g and number N_g of the
    rewards in earlier steps in the crystal's space group, κ = ``baseline_prior``, and the
    leave-one-out mean m_i of the batch. A group that has hardly been sampled thus has the baseline
    of the batch (James-Stein shrinkage, with fixed strength).
    """
    counted = ~rewards.abstain
    match settings.baseline:
        case "running":
            mean = _running_mean(state.mean, rewards, decay=settings.baseline_decay)
            return np.full(len(counted), mean or 0.0), BaselineState(mean=mean)
        case "leave_one_out":
            return leave_one_out(rewards), BaselineState()
        case "space_group":
            others = leave_one_out(rewards)
            found = _shrunk(state, space_groups, others, prior=settings.baseline_prior)
            groups = _count(state.groups, rewards, space_groups, decay=settings.baseline_decay)
            return found, BaselineState(groups=groups)


def baseline_outside(
    state: BaselineState,
    rewards: RewardBatch,
    space_groups: NDArray[np.int64],
    *,
    settings: RLSettings,
) -> Floats:
    """The (n,) baseline of n crystals that are not among those of the batch.

    Parameters
    ----------
    state
        After the batch.
    rewards
        Of the batch.
    space_groups
        (n,) of the other crystals.
    """
    counted = rewards.value[~rewards.abstain]
    mean = np.full(len(space_groups), counted.mean() if counted.size else 0.0)
    match settings.baseline:
        case "running":
            return np.full(len(space_groups), state.mean or 0.0)
        case "leave_one_out":
            return mean
        case "space_group":
            return _shrunk(state, space_groups, mean, prior=settings.baseline_prior)


def _shrunk(
    state: BaselineState, space_groups: NDArray[np.int64], mean: Floats, *, prior: float
) -> Floats:
    """Mean rewards of space groups, with ``prior`` more crystals of the reward ``mean`` in each."""
    known = [state.groups.get(int(group), (0.0, 0.0)) for group in space_groups]
    totals, counts = np.array(known).reshape(-1, 2).T
    return np.asarray((totals + prior * mean) / (counts + prior))


def leave_one_out(rewards: RewardBatch) -> Floats:
    """(B,) mean reward of the other crystals that count; if there is no other, its own reward."""
    counted = ~rewards.abstain
    values = np.where(counted, rewards.value, 0.0)
    others = counted.sum() - counted
    return np.where(others > 0, (values.sum() - values) / np.maximum(others, 1), values)


def _running_mean(previous: float | None, rewards: RewardBatch, *, decay: float) -> float | None:
    counted = rewards.value[~rewards.abstain]
    if counted.size == 0:
        return previous
    mean = float(counted.mean())
    return mean if previous is None else decay * previous + (1 - decay) * mean


def _count(
    groups: Mapping[int, tuple[float, float]],
    rewards: RewardBatch,
    space_groups: NDArray[np.int64],
    *,
    decay: float,
) -> dict[int, tuple[float, float]]:
    """The sums and numbers after this batch; all groups decay, since the policy has moved."""
    after = {group: (decay * total, decay * count) for group, (total, count) in groups.items()}
    for group in np.unique(space_groups[~rewards.abstain]).tolist():
        values = rewards.value[(space_groups == group) & ~rewards.abstain]
        total, count = after.get(group, (0.0, 0.0))
        after[group] = (total + float(values.sum()), count + len(values))
    return after
