"""Reward: a property of the crystal as generated (the list: ``config/property_rewards.py``).

MatInvent (arXiv 2511.03112) rewards such properties of relaxed crystals. A crystal that no
potential would accept, because its atoms overlap or its volume is that of no crystal, is a failure,
whether or not the property needs a potential.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config.property_rewards import PropertyReward
from crystalformer_rl.crystal.cell import Cell, volume_of
from crystalformer_rl.potentials.base import Evaluation, Potential, evaluate_each, unphysical
from crystalformer_rl.properties.base import Prediction
from crystalformer_rl.properties.ensemble import PROPERTIES, Ensemble, load_ensemble
from crystalformer_rl.rewards import elements
from crystalformer_rl.rewards.base import Reward, RewardBatch, Sources
from crystalformer_rl.rewards.target import rewarded

MEASURED: Mapping[str, Callable[[Cell], float]] = {
    "density": lambda one: one.density,
    "volume_per_atom": lambda one: volume_of(one.matrix) / len(one),
    "elements": lambda one: float(len(one.composition)),
    "log_price": lambda one: elements.log_price(one.composition),
    "log_abundance": lambda one: elements.log_abundance(one.composition),
    "hhi_production": lambda one: elements.hhi_production(one.composition),
    "hhi_reserve": lambda one: elements.hhi_reserve(one.composition),
}
"""The properties that follow from the crystal itself."""


@dataclass(frozen=True)
class Measured:
    """A property that follows from the crystal itself."""

    settings: PropertyReward
    measure: Callable[[Cell], float]

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch; the component is the property."""
        values = np.array(
            [np.nan if one is None or unphysical(one) else self.measure(one) for one in cells],
            dtype=np.float64,
        )
        return rewarded(values, self.settings, components={self.settings.name: values})


@dataclass(frozen=True)
class Predicted:
    """The mean of an ensemble on the features of a potential."""

    settings: PropertyReward
    potential: Potential
    ensemble: Ensemble

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch from one evaluation of each crystal.

        The components are the mean of the ensemble and its standard deviation.
        """
        predicted = self._predict(cells)
        name = self.settings.name
        return rewarded(
            predicted.mean,
            self.settings,
            components={name: predicted.mean, f"{name}_std": predicted.std},
        )

    def _predict(self, cells: Sequence[Cell | None]) -> Prediction:
        features: NDArray[np.float64]
        features = np.full((len(cells), len(self.ensemble.arrays["centre"])), np.nan)
        for row, answer in enumerate(evaluate_each(self.potential, cells)):
            if isinstance(answer, Evaluation) and answer.features is not None:
                features[row] = answer.features
        return self.ensemble.predict(features)


def build(settings: PropertyReward, sources: Sources) -> Reward:
    """The reward with what its property needs."""
    if settings.potential_used is None:
        return Measured(settings, MEASURED[settings.name])
    name = next(name for name in PROPERTIES if name == settings.name)
    return Predicted(settings, sources.potential(settings.potential_used), load_ensemble(name))
