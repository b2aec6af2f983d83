"""A rollout: a batch of crystals drawn from the current policy, and what they are worth."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.crystal.decoding import decode
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import Reward, RewardBatch
from crystalformer_rl.training.ppo import log_probs


@dataclass(frozen=True)
class Rollout:
    """B crystals, where they were drawn.

    Attributes
    ----------
    tokens
        The crystals.
    structures
        Decoded, None where no structure can be built.
    log_prob, base_log_prob
        (B,) float64 ln p of the policy that drew them and of the base policy. Both come from
        scoring, not from the sampler, so that the first probability ratio is exactly 1.
    rewards
        Of all B; failures carry the reward's failure value and stay in every mean.
    """

    tokens: CrystalTokens
    structures: list[Structure | None]
    log_prob: torch.Tensor
    base_log_prob: torch.Tensor
    rewards: RewardBatch

    @property
    def log_ratio_to_base(self) -> NDArray[np.float64]:
        """(B,) ln p − ln p_base; its mean estimates the KL divergence to the base policy."""
        ratio: NDArray[np.float64] = (self.log_prob - self.base_log_prob).numpy()
        return ratio

    def unique_fraction(self) -> float:
        """Distinct pairs of reduced formula and space group, over all B crystals."""
        return len(set(self.labels()) - {None}) / len(self.structures)

    def labels(self) -> list[str | None]:
        """Reduced formula and space group of each crystal, None where it has no structure."""
        return [
            None if structure is None else f"{_formula(structure)} ({group})"
            for structure, group in zip(self.structures, self.tokens.space_group, strict=True)
        ]


def draw(
    policy: Policy,
    base: Policy,
    reward: Reward,
    *,
    space_groups: NDArray[np.int64],
    constraints: Constraints,
    seed: int,
) -> Rollout:
    """Draw one crystal per space group from ``policy`` and score it.

    Both policies are scored under the constraints: a ratio is one of densities that crystals can
    be drawn from.

    Raises
    ------
    ValueError
        If the reward judges another number of crystals, or a space group cannot obey.
    """
    policy.eval()
    tokens = policy.sample(space_groups, seed=seed, constraints=constraints).tokens
    structures = [decoded.structure for decoded in decode(tokens)]
    rewards = reward.score(structures)
    if len(rewards.value) != len(structures):
        raise ValueError(f"{len(structures)} crystals got {len(rewards.value)} rewards")
    return Rollout(
        tokens=tokens,
        structures=structures,
        log_prob=log_probs(policy, tokens, constraints=constraints),
        base_log_prob=log_probs(base, tokens, constraints=constraints),
        rewards=rewards,
    )


def _formula(structure: Structure) -> str:
    """Reduced formula, symbols in alphabetical order: pymatgen's own warns of noble gases."""
    counts = Counter(site.specie.symbol for site in structure)
    divisor = math.gcd(*counts.values())
    return "".join(f"{symbol}{counts[symbol] // divisor}" for symbol in sorted(counts))
