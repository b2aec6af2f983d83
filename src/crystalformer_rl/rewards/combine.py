"""Reward: several rewards in one, as a weighted sum, a product or the smallest of them.

The value of each part is scaled linearly so that its smallest and largest possible value, or those
of the settings, become 0 and 1. A crystal is only rewarded if every part rewards it: what a guard
of one part struck gets the value of a failure, whatever the others say. Where no part failed and
one abstains, the combination abstains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config.rewards import CombineReward, PartSettings
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.rewards.base import Reward, RewardBatch, Sources
from crystalformer_rl.rewards.base import build as build_single

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Combine:
    """The parts, by name, and how they become one."""

    settings: CombineReward
    parts: Mapping[str, Reward]

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch by every part."""
        settings = self.settings
        # Evaluations with forces serve the parts that need none, so they come first.
        order = sorted(self.parts, key=lambda name: settings.parts[name].reward.kind != "force")
        scored = {name: self.parts[name].score(cells) for name in order}
        batches = {name: scored[name] for name in settings.parts}
        parts = [(settings.parts[name], batch) for name, batch in batches.items()]
        values = np.stack([normalised(batch.value, part) for part, batch in parts])
        failures = np.stack([normalised(_failure(batch), part) for part, batch in parts])
        valid = np.all([batch.valid for batch in batches.values()], axis=0)
        failed = np.any([~batch.valid & ~batch.abstain for batch in batches.values()], axis=0)
        failure = float(self._together(failures[:, None])[0])
        struck: dict[str, NDArray[np.bool_]] = {}
        for batch in batches.values():
            for guard, flags in batch.struck.items():
                struck[guard] = struck.get(guard, np.zeros_like(flags)) | flags
        components = {
            settings.column_of_value(name): np.where(batch.valid, value, np.nan)
            for (name, batch), value in zip(batches.items(), values, strict=True)
        }
        for name, batch in batches.items():
            components |= {settings.column_of(name, n): a for n, a in batch.components.items()}
        return RewardBatch(
            value=np.where(valid, self._together(values), failure),
            valid=valid,
            abstain=~valid & ~failed,
            components=components,
            failure=failure,
            struck=struck,
        )

    def _together(self, values: Floats) -> Floats:
        """(n,) of the normalised values of the parts, (parts, n)."""
        weights = np.array([part.weight for part in self.settings.parts.values()])
        if self.settings.how == "sum":
            return np.asarray(weights @ values / weights.sum())
        if self.settings.how == "product":
            return np.asarray(np.prod(values ** weights[:, None], axis=0))
        return np.asarray(values.min(axis=0))


def normalised(value: Floats | float, part: PartSettings) -> Floats:
    """From 0 to 1 between the limits of the part."""
    low, high = part.limits
    return np.asarray((np.clip(value, low, high) - low) / (high - low))


def _failure(batch: RewardBatch) -> float:
    return float(batch.value.min(initial=np.inf)) if batch.failure is None else batch.failure


def build(settings: CombineReward, sources: Sources) -> Combine:
    """The reward with its parts, which share potentials, hull and dataset."""
    return Combine(
        settings,
        {name: build_single(part.reward, sources) for name, part in settings.parts.items()},
    )
