"""Small policies: one that trains in milliseconds, one with an uneven distribution."""

from collections.abc import Callable
from pathlib import Path

import torch

from crystalformer_rl.config import ModelSettings
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.model.policy import Policy

FIXTURES = Path(__file__).parents[1] / "fixtures"
TINY = ModelSettings(
    layers=1,
    heads=2,
    key_size=4,
    width=16,
    embedding=8,
    first_letter_hidden=16,
    coordinate_modes=4,
    lattice_modes=2,
    max_sites=6,
)
SMALL = ModelSettings(
    layers=2,
    heads=2,
    key_size=8,
    width=16,
    embedding=8,
    first_letter_hidden=16,
    coordinate_modes=4,
    lattice_modes=3,
)
MakePolicy = Callable[..., Policy]


def uneven_policy(seed: int = 1, **changes: object) -> Policy:
    """A small policy whose weights are large enough to make its distributions uneven."""
    policy = Policy(SMALL.model_copy(update=changes), seed=seed).to(best_device())
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "norm" not in name:
                parameter.mul_(20)
    return policy
