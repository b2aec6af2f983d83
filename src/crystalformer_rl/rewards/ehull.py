"""Reward: a falling function of the energy above hull (arXiv 2504.02367).

The paper's reward is ``shape: linear`` of the unrelaxed crystal, from −10 to 10 eV/atom, without
guards. The saturating shape departs from it: a crystal at 0.05 eV/atom is nearly as good as one on
the hull, and a failure costs no more than a crystal at 2 eV/atom. Energies far below the hull are
artefacts of the potential, which :mod:`crystalformer_rl.rewards.guards` answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config.hull_rewards import EhullReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.rewards.base import RewardBatch, Sources
from crystalformer_rl.rewards.energies import EnergyAboveHull, nearness
from crystalformer_rl.rewards.guards import judge, low_quantile


@dataclass(frozen=True)
class Ehull:
    """exp(−max(E, 0)/scale), or −clip(E, floor, ceiling) in eV/atom, of E = E_hull.

    Failures, and what a guard struck, get 0 or −ceiling; or, by the guard ``failures``, the low
    quantile of the batch.
    """

    settings: EhullReward
    energies: EnergyAboveHull

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch from one evaluation or relaxation of each crystal."""
        settings = self.settings
        energies = (
            self.energies.relax(cells, steps=settings.relax_steps)
            if settings.relax_steps
            else self.energies.evaluate(cells)
        )
        placement = energies.placement
        above = placement.e_above_hull
        known = np.isfinite(above)
        verdict = judge(settings, cells, placement)
        valid = known & ~verdict.nothing & ~verdict.abstain
        value, failure = falling(above, settings), settings.bounds[0]
        struck = dict(verdict.struck)
        if settings.shape == "linear" and "failures" in settings.active_guards:
            failure = low_quantile(value[valid], lowest=failure)
            struck["failures"] = ~known & ~verdict.abstain
        return RewardBatch(
            value=np.where(valid, value, failure),
            valid=valid,
            abstain=verdict.abstain,
            components={
                "e_above_hull": above,
                "references": placement.references.astype(np.float64),
            },
            failure=failure,
            struck=struck,
        )


def falling(above: NDArray[np.float64], settings: EhullReward) -> NDArray[np.float64]:
    """The value of each energy above hull, (n,) eV/atom; of NaN as if it were infinite."""
    if settings.shape == "saturating":
        return nearness(above, settings.scale)
    known = np.where(np.isfinite(above), above, np.inf)
    return -np.clip(known, settings.floor, settings.ceiling)


def build(settings: EhullReward, sources: Sources) -> Ehull:
    """The reward with its potential and hull."""
    return Ehull(settings, sources.energies(settings.potential))
