"""The number of tokens of a gradient step whose activations fit into memory."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config import ModelSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import Room, free_memory
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.transformer import TOKENS_PER_SITE

TOKENS_ON_CPU: Final = 16_384
"""Tokens at once on a CPU, where more are not faster. Batches of the default configuration are
smaller and stay whole."""
SHARE: Final = 0.5
"""Fraction of the free memory of a GPU that activations may take."""


def tokens_of(tokens: CrystalTokens) -> NDArray[np.int64]:
    """(B,) tokens of each crystal that the network computes, the letter of its pad included."""
    return TOKENS_PER_SITE * tokens.num_sites + 1


def padded_tokens(tokens: CrystalTokens) -> int:
    """Tokens that the network computes for all crystals at once, pads included."""
    return len(tokens) * int(tokens_of(tokens).max(initial=0))


def activation_bytes(settings: ModelSettings) -> int:
    """Bytes per token that a training step allocates, without compilation: an estimate.

    Mainly query, key, value and the output of the attention, before and after their rotation and
    the change of their layout, and the inputs of the linear layers and norms. Embeddings, mixtures
    and the loss are left out. It is for layers of about the published size. With four of them the
    pretend GPU of the tests counts at its peak 117 kB in bfloat16 autocast and 103 kB in float32,
    where this gives 156 kB. For a tiny network in float32 it is too low by a tenth. ``SHARE``, and
    the answer to a failed allocation, cover such differences.
    """
    inner, width = settings.heads * settings.key_size, settings.width
    return settings.layers * 4 * (8 * inner + 6 * settings.widening * width)


def training_room(policy: Policy) -> Room:
    """Tokens that a training step of this policy may compute at once, on its device."""
    device = next(policy.parameters()).device
    free = free_memory(device)
    if free is None:
        return Room(TOKENS_ON_CPU, unit="tokens")
    each = activation_bytes(policy.settings)
    return Room(int(SHARE * free / each), unit="tokens")
