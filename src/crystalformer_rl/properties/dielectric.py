"""Electronic dielectric constant: mean eigenvalue of the high-frequency tensor (dimensionless)."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from crystalformer_rl.properties.base import Floats, Prediction, Recipe


@dataclass(frozen=True)
class Dielectric:
    """One output, ln(ε − 1): ε stays above 1, and errors count alike over two decades.

    Trained on insulators only (gap above 0.1 eV). The prediction for a metal is meaningless; the
    figure of merit multiplies it by the band gap, which is close to zero.
    """

    name: str = "dielectric"
    unit: str = ""
    outputs: int = 1
    minimum: float = 1.0
    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            members=8, hidden=16, epochs=100, batch_size=64, learning_rate=5e-3, weight_decay=1e-1
        )
    )

    def latent(self, raw: Floats) -> Floats:
        """ln(ε − 1)."""
        return raw[..., 0]

    def value(self, mean: Floats, std: Floats) -> Prediction:
        """ε = 1 + exp(mean), with the standard deviation propagated to first order."""
        excess = np.exp(mean)
        return Prediction(1 + excess, excess * std)

    def target(self, values: Floats) -> Floats:
        """ln(ε − 1).

        Raises
        ------
        ValueError
            If a value is not above 1.
        """
        if not np.all(values > 1):
            worst = float(np.min(values))
            raise ValueError(f"a dielectric constant must be above 1, got {worst}")
        return np.asarray(np.log(values - 1), dtype=np.float64)

    def loss(self, raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Huber loss of ln(ε − 1), quadratic below 0.3."""
        error = functional.huber_loss(raw[..., 0], target, reduction="none", delta=0.3)
        return error.mean(dim=1)
