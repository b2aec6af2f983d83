"""The interface of the algorithms of reinforcement, and their list."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import RewardBatch


@dataclass(frozen=True)
class Batch:
    """B crystals from which one step learns.

    Attributes
    ----------
    tokens
        The crystals.
    log_prob, base_log_prob
        (B,) float64 ln p under the policy before the step and under the base policy.
    rewards
        Their rewards.
    advantage
        (B,) see :mod:`crystalformer_rl.training.advantages`.
    constraints
        Constraints under which all probabilities are taken.
    seed
        Seed of the step.
    parallel
        The processes that share the work on the batch, which all of them have.
    """

    tokens: CrystalTokens
    log_prob: torch.Tensor
    base_log_prob: torch.Tensor
    rewards: RewardBatch
    advantage: NDArray[np.float64]
    constraints: Constraints
    seed: int
    parallel: Parallel = SINGLE


@dataclass(frozen=True)
class Update:
    """Result of the gradient steps on one batch.

    Attributes
    ----------
    finite
        False if a loss or a gradient was not finite; the weights are those from before that step.
    columns
        Numbers for the history; every step of an algorithm has the same ones.
    """

    finite: bool
    columns: dict[str, Any]


class Algorithm(Protocol):
    """Changes a policy so that the better crystals of a batch become more probable."""

    def update(self, policy: Policy, optimiser: torch.optim.Optimizer, batch: Batch) -> Update:
        """Make the gradient steps on one batch, in place."""
        ...
