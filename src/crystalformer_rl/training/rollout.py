"""A rollout: a batch of crystals sampled from the current policy, with their rewards."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.config.fields import SYMBOLS
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.decoding import decode
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import Reward, RewardBatch
from crystalformer_rl.training.scoring import log_probs


@dataclass(frozen=True)
class Rollout:
    """B crystals, in the order of sampling.

    Attributes
    ----------
    tokens
        The crystals.
    cells
        The decoded crystals; None if a crystal cannot be decoded.
    log_prob, base_log_prob
        (B,) float64 ln p under the policy that sampled them and under the base policy. Both come
        from scoring, not from the sampler, so that the first probability ratio is exactly 1.
    log_discrete
        (B,) the part of ``log_prob`` of letters and elements.
    rewards
        Rewards of all B crystals; failures have the failure value and are part of every mean.
    """

    tokens: CrystalTokens
    cells: list[Cell | None]
    log_prob: torch.Tensor
    base_log_prob: torch.Tensor
    log_discrete: torch.Tensor
    rewards: RewardBatch

    @property
    def log_ratio_to_base(self) -> NDArray[np.float64]:
        """(B,) ln p − ln p_base; its mean estimates the KL divergence to the base policy."""
        ratio: NDArray[np.float64] = (self.log_prob - self.base_log_prob).numpy()
        return ratio

    def unique_fraction(self) -> float:
        """Number of distinct pairs of reduced formula and space group, divided by B."""
        return len(set(self.labels()) - {None}) / len(self.cells)

    def labels(self) -> list[str | None]:
        """Reduced formula and space group of each crystal; None if it cannot be decoded."""
        return [
            None if cell is None else f"{_formula(cell)} ({group})"
            for cell, group in zip(self.cells, self.tokens.space_group, strict=True)
        ]


def collect(
    policy: Policy,
    base: Policy,
    reward: Reward,
    *,
    space_groups: NDArray[np.int64],
    constraints: Constraints,
    seed: int,
    parallel: Parallel = SINGLE,
) -> Rollout:
    """Sample one crystal per space group from ``policy`` and compute its reward.

    The processes share the sampling and the scoring here, and the energies in
    :class:`~crystalformer_rl.potentials.shared.SharedPotential`. The random numbers belong to the
    crystals, which therefore do not depend on the number of processes. Each process computes the
    rewards, which depend on the whole batch, and those of process 0 count.

    Both log-probabilities are taken under the constraints, so that their ratio is a ratio of the
    sampled densities.

    Raises
    ------
    ValueError
        If the reward returns another number of values, or no crystal of a space group can satisfy
        the constraints.
    """
    policy.eval()
    with parallel.failing_together():
        tokens = policy.sample(
            space_groups, seed=seed, constraints=constraints, parallel=parallel
        ).tokens
        cells = [decoded.cell for decoded in decode(tokens)]
        rewards = reward.score(cells)
        if len(rewards.value) != len(cells):
            raise ValueError(f"{len(cells)} crystals got {len(rewards.value)} rewards")
        rewards = parallel.from_first(rewards)
    own = log_probs(policy, tokens, constraints=constraints, parallel=parallel)
    anchor = log_probs(base, tokens, constraints=constraints, parallel=parallel)
    return Rollout(
        tokens=tokens,
        cells=cells,
        log_prob=own.total,
        base_log_prob=anchor.total,
        log_discrete=own.discrete,
        rewards=rewards,
    )


def _formula(cell: Cell) -> str:
    """Reduced formula, symbols in alphabetical order: pymatgen's own warns of noble gases."""
    counts = Counter(SYMBOLS[number - 1] for number in cell.numbers.tolist())
    divisor = math.gcd(*counts.values())
    return "".join(f"{symbol}{counts[symbol] // divisor}" for symbol in sorted(counts))
