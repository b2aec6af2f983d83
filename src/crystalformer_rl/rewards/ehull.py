"""Reward: minus the energy above hull of the unrelaxed crystal (arXiv 2504.02367).

Departs from the paper in two ways. E_hull has a floor, because energies far below the hull are
artefacts of the potential. The ceiling is 6 instead of 10 eV/atom, so that a few failures do not
dominate a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from crystalformer_rl.config.rewards import EhullReward
from crystalformer_rl.potentials.cached import CachedPotential
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.rewards.energies import EnergyAboveHull
from crystalformer_rl.rewards.guards import abstains, repeat_weight
from crystalformer_rl.stability.reference import ReferenceHull


@dataclass(frozen=True)
class Ehull:
    """−clip(E_hull, floor, ceiling) in eV/atom; failures get −ceiling.

    The reward of a repeated composition is moved towards −ceiling.
    """

    settings: EhullReward
    energies: EnergyAboveHull

    def score(self, structures: Sequence[Structure | None]) -> RewardBatch:
        """Reward a batch from one evaluation of each crystal."""
        settings = self.settings
        energies = self.energies.evaluate(structures)
        placement = energies.placement
        above = placement.e_above_hull
        known = np.isfinite(above)
        abstain = abstains(placement, min_references=settings.min_references)
        valid = known & ~abstain
        weight = repeat_weight(
            [c if good else None for c, good in zip(energies.compositions, valid, strict=True)],
            repeat_from=settings.repeat_from,
        )
        worst = -settings.ceiling
        value = -np.clip(np.where(known, above, np.inf), settings.floor, settings.ceiling)
        return RewardBatch(
            value=np.where(valid, worst + weight * (value - worst), worst),
            valid=valid,
            abstain=abstain,
            components={
                "e_above_hull": above,
                "references": placement.references.astype(np.float64),
                "repeat_weight": weight,
            },
        )


def build(
    settings: EhullReward, *, hull: ReferenceHull, device: str, trust_pickles: bool = False
) -> Ehull:
    """The reward with its potential, which never evaluates a crystal twice."""
    potential = load(settings.potential, device=device, trust_pickles=trust_pickles)
    return Ehull(settings, EnergyAboveHull(CachedPotential(potential), hull))
