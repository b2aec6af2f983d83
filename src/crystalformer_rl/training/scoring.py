"""Log-probabilities of a batch, in chunks of crystals of similar length."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import torch

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import Room
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.transformer import TOKENS_PER_SITE
from crystalformer_rl.training.batches import cheapest_batches

CHUNKS: Final = {"cpu": (64, 60), "cuda": (256, 10_000)}
"""By type of device: most crystals that are scored together, and the tokens that could be computed
in the time that a further chunk costs. The second number is a guess for a GPU."""


@dataclass(frozen=True)
class BatchLogProb:
    """(B,) float64 on the CPU: ln p(crystal | space group), and its part of letters and elements.

    Without gradient.
    """

    total: torch.Tensor
    discrete: torch.Tensor


def log_probs(
    policy: Policy, tokens: CrystalTokens, *, constraints: Constraints, parallel: Parallel = SINGLE
) -> BatchLogProb:
    """ln p of every crystal without gradient or dropout; each process scores its share.

    Computed over the same chunks as the gradient steps, so that the ratio of the first step is
    exactly 1, unless a chunk of a gradient step does not fit into memory.
    """
    policy.eval()

    def work(most: int) -> torch.Tensor:
        found = torch.zeros(2, len(tokens), dtype=torch.float64)
        with torch.no_grad():
            for indices, chunk in chunks(tokens, parallel, most=most, device=device):
                scores = policy.log_prob(chunk, constraints=constraints)
                both = torch.stack([scores.total, scores.wyckoff + scores.element])
                found[:, indices] = both.double().cpu()
        return found

    device = next(policy.parameters()).device
    total, discrete = parallel.sum(scoring_room(device.type).attempt(work))
    return BatchLogProb(total, discrete)


@cache
def scoring_room(kind: str) -> Room:
    """Crystals that this process scores together on a type of device, with or without gradient."""
    return Room(CHUNKS[kind][0], unit="crystals at once")


def chunks(
    tokens: CrystalTokens, parallel: Parallel, *, most: int, device: torch.device
) -> Iterator[tuple[torch.Tensor, CrystalTokens]]:
    """This process's share of the crystals in chunks of similar length, each with its indices.

    The shares have the same lengths as far as possible, and with them the same work. A chunk has at
    most ``most`` crystals.
    """
    _, overhead = CHUNKS[device.type]
    mine = parallel.share(np.argsort(tokens.num_sites, kind="stable"))
    lengths = TOKENS_PER_SITE * tokens.num_sites[mine] + 1
    for batch in cheapest_batches(lengths, most=most, overhead=overhead):
        yield torch.from_numpy(mine[batch]), tokens[mine[batch]]
