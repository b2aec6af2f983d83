"""Negative log-likelihood of crystals, by part, in nats per crystal."""

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.batches import Crystals, length_batches

PARTS = ("wyckoff", "element", "position", "lattice")
SHOWN = 10


def log_prob_parts(policy: Policy, tokens: CrystalTokens) -> torch.Tensor:
    """(4, B) log-probabilities by part; on a GPU the network runs in bfloat16 autocast."""
    device = next(policy.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        scores = policy.log_prob(tokens)
    return torch.stack([getattr(scores, part) for part in PARTS])


def finite(policy: Policy, tokens: CrystalTokens) -> NDArray[np.bool_]:
    """(B,) whether each crystal's log-probability is finite, without dropout."""
    policy.eval()
    with torch.no_grad():
        return torch.isfinite(log_prob_parts(policy, tokens)).all(dim=0).cpu().numpy()


def mean_loss(
    policy: Policy, crystals: Crystals, *, batch_size: int, parallel: Parallel = SINGLE
) -> list[float]:
    """Mean of each part over all crystals, without dropout.

    Raises
    ------
    ValueError
        If it is not finite; the message gives the indices of the crystals that cause it.
    """
    policy.eval()
    sums = torch.zeros(len(PARTS), dtype=torch.float64)
    wrong: list[int] = []
    with torch.no_grad():
        for indices in length_batches(crystals.num_sites, batch_size=batch_size):
            share = parallel.share(indices)
            if len(share):
                parts = log_prob_parts(policy, crystals[share]).double().cpu()
                sums -= parts.sum(dim=1)
                wrong += share[~torch.isfinite(parts).all(dim=0).numpy()].tolist()
    losses: list[float] = (parallel.sum(sums) / len(crystals)).tolist()
    if not np.isfinite(losses).all():
        raise ValueError(
            f"the mean loss of {len(crystals)} crystals is not finite: {losses}; crystals with a "
            f"non-finite loss: {sorted(wrong)[:SHOWN]} (indices from 0, at most {SHOWN} shown)"
        )
    return losses
