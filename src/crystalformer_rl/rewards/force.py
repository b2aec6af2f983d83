"""Reward: minus the logarithm of the mean force and stress of the crystal as generated.

This is ``make_force_reward_fn`` of CrystalFormer's ``reinforce/reward.py``, whose limits are the
defaults. There every failure counts as if its force and stress were infinite, which is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystalformer_rl.config.rewards import ForceReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import Evaluation, Potential, evaluate_each
from crystalformer_rl.rewards.base import RewardBatch, Sources

VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])
"""Rows and columns of the six independent stresses."""


@dataclass(frozen=True)
class Force:
    """−ln(F + w·S) of the mean force F, eV/Å, and the mean size S of the stresses, eV/Å³.

    Each force and each of the six stresses is cut to the range from ``floor`` to ``ceiling`` before
    it is averaged.
    """

    settings: ForceReward
    potential: Potential

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch from one evaluation of each crystal; components are not cut."""
        settings = self.settings
        force, stress, value = np.full((3, len(cells)), np.nan)
        answers = evaluate_each(self.potential, cells, forces=True)
        for row, answer in enumerate(answers):
            if not isinstance(answer, Evaluation) or answer.forces is None or answer.stress is None:
                continue
            forces = np.linalg.norm(answer.forces, axis=1)
            stresses = np.abs(answer.stress[VOIGT])
            force[row], stress[row] = forces.mean(), stresses.mean()
            limits = settings.floor, settings.ceiling
            sizes = np.clip(forces, *limits).mean(), np.clip(stresses, *limits).mean()
            value[row] = -np.log(sizes[0] + settings.stress_weight * sizes[1])
        valid, worst = np.isfinite(value), settings.bounds[0]
        return RewardBatch(
            value=np.where(valid, np.clip(value, *settings.bounds), worst),
            valid=valid,
            abstain=np.zeros(len(cells), dtype=np.bool_),
            components={"force": force, "stress": stress},
            failure=worst,
        )


def build(settings: ForceReward, sources: Sources) -> Force:
    """The reward with its potential."""
    return Force(settings, sources.potential(settings.potential))
