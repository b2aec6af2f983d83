"""Negative log-likelihood of crystals, by part, in nats per crystal."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import Room
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.batches import Crystals, length_batches, parts_within
from crystalformer_rl.training.room import padded_tokens, tokens_of, training_room

PARTS = ("wyckoff", "element", "position", "lattice")
SHOWN = 10


def log_prob_parts(policy: Policy, tokens: CrystalTokens) -> torch.Tensor:
    """(4, B) log-probabilities by part; on a GPU the network runs in bfloat16 autocast."""
    device = next(policy.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_bfloat16(device)):
        scores = policy.log_prob(tokens)
    return torch.stack([getattr(scores, part) for part in PARTS])


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16; older GPUs than Ampere emulate it, slowly."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def finite(policy: Policy, tokens: CrystalTokens, *, room: Room) -> NDArray[np.bool_]:
    """(B,) whether each crystal's log-probability is finite, without dropout."""
    policy.eval()
    parts = room.attempt(partial(_parts_of, policy, tokens), size=padded_tokens(tokens))
    return torch.isfinite(parts).all(dim=0).numpy()


def mean_loss(
    policy: Policy,
    crystals: Crystals,
    *,
    batch_size: int,
    room: Room | None = None,
    parallel: Parallel = SINGLE,
) -> list[float]:
    """Mean of each part over all crystals, without dropout.

    Parameters
    ----------
    room
        Tokens that are computed at once; None: as many as a training step.

    Raises
    ------
    ValueError
        If it is not finite; the message gives the indices of the crystals that cause it.
    """
    room = room or training_room(policy)
    policy.eval()
    sums = torch.zeros(len(PARTS), dtype=torch.float64)
    wrong: list[int] = []
    for indices in length_batches(crystals.num_sites, batch_size=batch_size):
        share = parallel.share(indices)
        if len(share):
            tokens = crystals[share]
            parts = room.attempt(partial(_parts_of, policy, tokens), size=padded_tokens(tokens))
            sums -= parts.sum(dim=1)
            wrong += share[~torch.isfinite(parts).all(dim=0).numpy()].tolist()
    losses: list[float] = (parallel.sum(sums) / len(crystals)).tolist()
    if not np.isfinite(losses).all():
        raise ValueError(
            f"the mean loss of {len(crystals)} crystals is not finite: {losses}; crystals with a "
            f"non-finite loss: {sorted(wrong)[:SHOWN]} (indices from 0, at most {SHOWN} shown)"
        )
    return losses


def _parts_of(policy: Policy, tokens: CrystalTokens, most: int) -> torch.Tensor:
    """(4, B) log-probabilities by part, float64 on the CPU, of at most ``most`` tokens at once."""
    found = torch.zeros(len(PARTS), len(tokens), dtype=torch.float64)
    with torch.no_grad():
        for rows in parts_within(tokens_of(tokens), most=most):
            found[:, rows] = log_prob_parts(policy, tokens[rows]).double().cpu()
    return found
