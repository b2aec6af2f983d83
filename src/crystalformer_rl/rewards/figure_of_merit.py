"""Reward: band gap × electronic dielectric constant, in eV (arXiv 2504.02367).

The paper uses one model for each property and filters unstable crystals afterwards. Here each
property is the lower bound of an ensemble, mean − caution × std, so that a crystal on which the
members disagree gets a small reward, and an unstable one gets none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from crystalformer_rl.config.rewards import FigureOfMeritReward
from crystalformer_rl.potentials.cached import CachedPotential
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.properties.ensemble import Ensemble, load_ensemble
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.rewards.energies import EnergyAboveHull
from crystalformer_rl.rewards.guards import abstains, repeat_weight
from crystalformer_rl.stability.reference import ReferenceHull


@dataclass(frozen=True)
class FigureOfMerit:
    """max(0, gap − c·std) · max(1, ε − c·std) in eV; failures and unstable crystals get 0.

    Without ``max_e_above_hull`` the hull is not used, and the reward never abstains.
    """

    settings: FigureOfMeritReward
    energies: EnergyAboveHull
    band_gap: Ensemble
    dielectric: Ensemble

    def score(self, structures: Sequence[Structure | None]) -> RewardBatch:
        """Reward a batch from one evaluation of each crystal.

        ``figure_of_merit`` among the components is that of the ensemble means, without the guard.
        """
        settings = self.settings
        energies = self.energies.evaluate(structures)
        placement = energies.placement
        features = energies.features
        if features.shape[1] == 0:
            features = np.full((len(structures), len(self.band_gap.arrays["centre"])), np.nan)
        gap, epsilon = self.band_gap.predict(features), self.dielectric.predict(features)
        cautious = np.maximum(0, gap.mean - settings.caution * gap.std) * np.maximum(
            1, epsilon.mean - settings.caution * epsilon.std
        )
        above, limit = placement.e_above_hull, settings.max_e_above_hull
        known = np.isfinite(cautious)
        guarded = abstain = np.zeros(len(structures), dtype=bool)
        if limit is not None:
            abstain = known & abstains(placement, min_references=settings.min_references)
            known &= np.isfinite(above)
            guarded = known & (above > limit)
        valid = known & ~abstain
        weight = repeat_weight(
            [c if good else None for c, good in zip(energies.compositions, valid, strict=True)],
            repeat_from=settings.repeat_from,
        )
        return RewardBatch(
            value=np.where(valid & ~guarded, weight * np.nan_to_num(cautious), 0.0),
            valid=valid,
            abstain=abstain,
            components={
                "figure_of_merit": gap.mean * epsilon.mean,
                "band_gap": gap.mean,
                "band_gap_std": gap.std,
                "dielectric": epsilon.mean,
                "dielectric_std": epsilon.std,
                "e_above_hull": above,
                "guarded": guarded.astype(np.float64),
                "references": placement.references.astype(np.float64),
                "repeat_weight": weight,
            },
        )


def build(
    settings: FigureOfMeritReward, *, hull: ReferenceHull, device: str, trust_pickles: bool = False
) -> FigureOfMerit:
    """The reward with its potential and the property models that come with the package."""
    potential = load(settings.potential, device=device, trust_pickles=trust_pickles)
    return FigureOfMerit(
        settings,
        EnergyAboveHull(CachedPotential(potential), hull),
        load_ensemble("band_gap"),
        load_ensemble("dielectric"),
    )
