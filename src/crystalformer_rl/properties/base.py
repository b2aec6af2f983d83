"""What a predicted property is: how members of an ensemble read out, and how they are trained."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """A property of each crystal.

    Attributes
    ----------
    mean
        Ensemble mean, (n,); NaN where the features are not finite.
    std
        Calibrated disagreement of the ensemble, (n,): about 68 % of held-out values lay within
        one ``std`` of ``mean``.
    """

    mean: Floats
    std: Floats


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of an ensemble, chosen on validation rows (docs/explanation/properties.md).

    Attributes
    ----------
    members
        Networks, each trained on a bootstrap sample of its own.
    hidden
        Width of the one hidden layer.
    epochs, batch_size, learning_rate, weight_decay
        Of AdamW with a cosine schedule to zero.
    """

    members: int
    hidden: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float


class Property(Protocol):
    """A property that heads can predict.

    A member's ``raw`` outputs, (members, n, outputs), become one number per crystal and member
    (``latent``) in the space where members are averaged; ``value`` turns that average into the
    property in its unit.
    """

    @property
    def name(self) -> str:
        """Name of the property and of its weight files."""

    @property
    def unit(self) -> str:
        """Unit of the predictions; empty if dimensionless."""

    @property
    def outputs(self) -> int:
        """Outputs of a member."""

    @property
    def minimum(self) -> float:
        """Least value the property can have."""

    @property
    def recipe(self) -> Recipe:
        """How the heads are trained."""

    def latent(self, raw: Floats) -> Floats:
        """(members, n, outputs) to (members, n)."""

    def value(self, mean: Floats, std: Floats) -> Prediction:
        """Prediction from the mean and scaled standard deviation of ``latent``, each (n,)."""

    def target(self, values: Floats) -> Floats:
        """Property values to the numbers that ``loss`` compares with."""

    def loss(self, raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean training loss per member, (members,), of raw (members, b, outputs)."""
