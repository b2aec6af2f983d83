"""Band gap in eV at the level of PBE: a classifier of metals times the gap of a non-metal."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from crystalformer_rl.properties.base import Floats, Prediction, Recipe


@dataclass(frozen=True)
class BandGap:
    """Two outputs: the logit of having a gap, and the gap of a non-metal through a softplus.

    The prediction of a member is probability × gap. Metals, more than half of all known inorganic
    crystals, are therefore predicted close to zero rather than slightly above it.
    """

    name: str = "band_gap"
    unit: str = "eV"
    outputs: int = 2
    minimum: float = 0.0
    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            members=8, hidden=32, epochs=100, batch_size=256, learning_rate=1e-2, weight_decay=1e-2
        )
    )

    def latent(self, raw: Floats) -> Floats:
        """Probability of a gap × gap, eV."""
        probability = 0.5 * (1 + np.tanh(0.5 * raw[..., 0]))
        return np.asarray(probability * np.logaddexp(0, raw[..., 1]), dtype=np.float64)

    def value(self, mean: Floats, std: Floats) -> Prediction:
        """Members are averaged in eV."""
        return Prediction(mean, std)

    def target(self, values: Floats) -> Floats:
        """The gap itself."""
        return values

    def loss(self, raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the classifier plus absolute error of the product."""
        is_open = (target > 0).to(raw.dtype)
        entropy = functional.binary_cross_entropy_with_logits(
            raw[..., 0], is_open, reduction="none"
        )
        gap = torch.sigmoid(raw[..., 0]) * functional.softplus(raw[..., 1])
        return (entropy + (gap - target).abs()).mean(dim=1)
