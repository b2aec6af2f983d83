"""Reward: reduced formulas that the dataset does not have.

A known formula in a new structure counts as known, so that the reward is stricter than the novelty
of the evaluation and costs nothing. Chemeleon2 (its reward ``creativity``) matches structures.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from crystalformer_rl.config.rewards import NoveltyReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.rewards.base import RewardBatch, Sources


@dataclass(frozen=True)
class Novelty:
    """1 for a new formula, ``known`` for one of ``formulas``, 0 without a crystal."""

    settings: NoveltyReward
    formulas: AbstractSet[str]

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch; ``novel_formula`` is 1 or 0."""
        novel = np.array(
            [
                np.nan if cell is None else cell.composition.reduced_formula not in self.formulas
                for cell in cells
            ],
            dtype=np.float64,
        )
        valid = np.isfinite(novel)
        return RewardBatch(
            value=np.where(valid, np.where(novel == 0, self.settings.known, 1.0), 0.0),
            valid=valid,
            abstain=np.zeros(len(cells), dtype=np.bool_),
            components={"novel_formula": novel},
            failure=0.0,
        )


def build(settings: NoveltyReward, sources: Sources) -> Novelty:
    """The reward with the formulas of the dataset."""
    return Novelty(settings, sources.known)
