"""Reward: reduced formulas that the dataset does not have.

A known formula in a new structure counts as known, so that the reward is stricter than the novelty
of the evaluation and costs nothing. Chemeleon2 (its reward ``creativity``) matches structures.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from crystalformer_rl.config.rewards import NoveltyReward
from crystalformer_rl.rewards.base import RewardBatch, Sources


@dataclass(frozen=True)
class Novelty:
    """1 for a new formula, ``known`` for one of ``formulas``, 0 without a structure."""

    settings: NoveltyReward
    formulas: AbstractSet[str]

    def score(self, structures: Sequence[Structure | None]) -> RewardBatch:
        """Reward a batch; ``novel_formula`` is 1 or 0."""
        novel = np.array(
            [np.nan if s is None else s.reduced_formula not in self.formulas for s in structures],
            dtype=np.float64,
        )
        valid = np.isfinite(novel)
        return RewardBatch(
            value=np.where(valid, np.where(novel == 0, self.settings.known, 1.0), 0.0),
            valid=valid,
            abstain=np.zeros(len(structures), dtype=np.bool_),
            components={"novel_formula": novel},
            failure=0.0,
        )


def build(settings: NoveltyReward, sources: Sources) -> Novelty:
    """The reward with the formulas of the dataset."""
    return Novelty(settings, sources.known)
