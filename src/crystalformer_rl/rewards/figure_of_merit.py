"""Reward: band gap × electronic dielectric constant, in eV (FACTS §4).

The paper asks one model for each property and filters unstable crystals afterwards. Here each
property is an ensemble's cautious bound, mean − caution × std, so that a crystal on which the
heads disagree earns little, and an unstable one earns nothing in the first place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from crystalformer_rl.config import FigureOfMeritReward
from crystalformer_rl.potentials.cached import CachedPotential
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.properties.heads import Heads, load_heads
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.rewards.energies import EnergyAboveHull
from crystalformer_rl.rewards.guards import abstains, repeat_weight
from crystalformer_rl.stability.reference import ReferenceHull


@dataclass(frozen=True)
class FigureOfMerit:
    """max(0, gap − c·std) · max(1, ε − c·std) in eV; failures and unstable crystals score 0.

    Without ``max_e_above_hull`` the hull is not asked, and the reward never abstains.
    """

    settings: FigureOfMeritReward
    energies: EnergyAboveHull
    band_gap: Heads
    dielectric: Heads

    def score(self, structures: Sequence[Structure | None]) -> RewardBatch:
        """Judge a batch.

        Parts: ``figure_of_merit`` (eV, of the ensemble means, unguarded), ``band_gap`` and its
        ``_std`` (eV), ``dielectric`` and its ``_std``, ``e_above_hull`` (eV/atom), ``guarded``
        (1 where E_hull is above the limit), ``references``, ``repeat_weight``.
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
            parts={
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
            abstain=abstain,
        )


def build(settings: FigureOfMeritReward, *, hull: ReferenceHull, device: str) -> FigureOfMerit:
    """Load the potential and the committed heads, and make the reward."""
    potential = CachedPotential(load(settings.potential, device=device))
    return FigureOfMerit(
        settings,
        EnergyAboveHull(potential, hull),
        load_heads("band_gap"),
        load_heads("dielectric"),
    )
