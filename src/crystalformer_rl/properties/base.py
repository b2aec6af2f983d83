"""Interface of a predicted property: the outputs of an ensemble and its training."""

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
        Calibrated standard deviation of the ensemble, (n,): about 68 % of held-out values are
        within one ``std`` of ``mean``.
    """

    mean: Floats
    std: Floats


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of an ensemble, chosen on validation rows (docs/explanation/properties.md).

    Attributes
    ----------
    members
        Number of networks, each trained on a separate bootstrap sample.
    hidden
        Width of the hidden layer.
    epochs, batch_size, learning_rate, weight_decay
        Settings of AdamW with a cosine schedule to zero.
    """

    members: int
    hidden: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float


class Property(Protocol):
    """A property that an ensemble can predict.

    ``latent`` maps the ``raw`` outputs of the members, (members, n, outputs), to one number per
    member and crystal, in the space where the members are averaged. ``value`` maps this average
    to the property in its unit.
    """

    @property
    def name(self) -> str:
        """Name of the property and of its files."""

    @property
    def unit(self) -> str:
        """Unit of the predictions; empty if dimensionless."""

    @property
    def outputs(self) -> int:
        """Number of outputs of a member."""

    @property
    def minimum(self) -> float:
        """Smallest possible value of the property."""

    @property
    def recipe(self) -> Recipe:
        """Hyperparameters of the ensemble."""

    def latent(self, raw: Floats) -> Floats:
        """Map (members, n, outputs) to (members, n)."""

    def value(self, mean: Floats, std: Floats) -> Prediction:
        """Prediction from the mean and scaled standard deviation of ``latent``, each (n,)."""

    def target(self, values: Floats) -> Floats:
        """Convert property values to the targets of ``loss``."""

    def loss(self, raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean training loss per member, (members,), of raw (members, b, outputs)."""
