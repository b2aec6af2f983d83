"""Log-probabilities of a batch, in chunks of crystals of similar length."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.batches import length_batches

CHUNKS: Final = {"cpu": 32, "cuda": 256}
"""Number of crystals of similar length that are scored together, by type of device."""


@dataclass(frozen=True)
class BatchLogProb:
    """(B,) float64 on the CPU: ln p(crystal | space group), and its part of letters and elements.

    Without gradient.
    """

    total: torch.Tensor
    discrete: torch.Tensor


def log_probs(policy: Policy, tokens: CrystalTokens, *, constraints: Constraints) -> BatchLogProb:
    """ln p of every crystal without gradient or dropout.

    Computed over the same chunks as the gradient steps, so that the ratio of the first step is
    exactly 1.
    """
    policy.eval()
    total, discrete = torch.zeros(2, len(tokens), dtype=torch.float64)
    with torch.no_grad():
        for indices, chunk in chunks(policy, tokens):
            found = policy.log_prob(chunk, constraints=constraints)
            total[indices] = found.total.double().cpu()
            discrete[indices] = (found.wyckoff + found.element).double().cpu()
    return BatchLogProb(total, discrete)


def chunks(policy: Policy, tokens: CrystalTokens) -> Iterator[tuple[torch.Tensor, CrystalTokens]]:
    """The crystals in chunks of similar length, each with its indices."""
    size = CHUNKS[next(policy.parameters()).device.type]
    for indices in length_batches(tokens.num_sites, batch_size=size):
        yield torch.from_numpy(indices), tokens[indices]
