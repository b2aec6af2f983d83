"""Reward: elements or compositions that are rare in the batch.

It compares the crystals of one batch; the memory of a branch compares those of all its steps.
CrystalFormer's ``--diversity_weight`` adds the inverse frequency of space group, letters and
elements in the batch.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystalformer_rl.config.rewards import DiversityReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.rewards.base import RewardBatch, Sources


@dataclass(frozen=True)
class Diversity:
    """How rare a crystal is among the n that could be decoded, from 0 to 1.

    ``composition``: 1 over the number of crystals of its reduced formula. ``elements``: the mean
    over its elements of the fraction of the other n − 1 crystals without the element; 1 if n = 1.
    """

    settings: DiversityReward

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch; the component is the value."""
        kinds = [[] if cell is None else self._kinds(cell) for cell in cells]
        counts = Counter(kind for one in kinds for kind in one)
        others = sum(map(bool, kinds)) - 1
        rarity = np.full(len(cells), np.nan)
        for row, one in enumerate(kinds):
            if one and self.settings.over == "composition":
                rarity[row] = 1 / counts[one[0]]
            elif one:
                shared = [(counts[kind] - 1) / max(others, 1) for kind in one]
                rarity[row] = 1 - np.mean(shared)
        valid = np.isfinite(rarity)
        return RewardBatch(
            value=np.where(valid, rarity, 0.0),
            valid=valid,
            abstain=np.zeros(len(cells), dtype=np.bool_),
            components={"rarity": rarity},
            failure=0.0,
        )

    def _kinds(self, cell: Cell) -> list[str]:
        if self.settings.over == "composition":
            return [cell.composition.reduced_formula]
        return [element.symbol for element in cell.composition]


def build(settings: DiversityReward, sources: Sources) -> Diversity:
    """Make the reward."""
    return Diversity(settings)
