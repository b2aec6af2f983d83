"""Reward: band gap × electronic dielectric constant, in eV (arXiv 2504.02367).

The paper uses one model for each property and filters unstable crystals afterwards. Here each
property is the lower bound of an ensemble, mean − caution × std, so that a crystal on which the
members disagree gets a small reward, and the reward falls with the energy above hull. Crystals far
below the hull get none: without that guard, a fifth of what one run made was artefacts of the
potential.

A hard limit of 0.1 eV/atom instead leaves five of six samples of a small policy without a reward,
although many of them relax to stable crystals. The policy then learns from a few space groups only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystalformer_rl.config.hull_rewards import FigureOfMeritReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.properties.ensemble import Ensemble, load_ensemble
from crystalformer_rl.rewards.base import RewardBatch, Sources
from crystalformer_rl.rewards.energies import EnergyAboveHull, nearness
from crystalformer_rl.rewards.guards import judge


@dataclass(frozen=True)
class FigureOfMerit:
    """max(0, gap − c·std) · max(1, ε − c·std) · exp(−max(E_hull, 0)/scale) in eV; failures get 0.

    Without ``scale``, ``max_e_above_hull`` and guards the hull is not used.
    """

    settings: FigureOfMeritReward
    energies: EnergyAboveHull
    band_gap: Ensemble
    dielectric: Ensemble

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch from one evaluation of each crystal.

        ``figure_of_merit`` among the components is that of the ensemble means, stable or not.
        """
        settings = self.settings
        energies = self.energies.evaluate(cells)
        placement = energies.placement
        features = energies.features
        if features.shape[1] == 0:
            features = np.full((len(cells), len(self.band_gap.arrays["centre"])), np.nan)
        gap, epsilon = self.band_gap.predict(features), self.dielectric.predict(features)
        cautious = np.maximum(0, gap.mean - settings.caution * gap.std) * np.maximum(
            1, epsilon.mean - settings.caution * epsilon.std
        )
        above = placement.e_above_hull
        scale, limit = settings.scale, settings.max_e_above_hull
        verdict = judge(settings, cells, placement)
        known = np.isfinite(cautious)
        abstain = known & verdict.abstain
        if scale is not None or limit is not None:
            known &= np.isfinite(above)
        elif not settings.active_guards and settings.min_references is None:
            abstain = np.zeros_like(known)
        unstable = known & (above > (np.inf if limit is None else limit))
        valid = known & ~verdict.nothing & ~abstain
        value = cautious if scale is None else cautious * nearness(above, scale)
        return RewardBatch(
            value=np.where(valid & ~unstable, np.nan_to_num(value), 0.0),
            valid=valid,
            abstain=abstain,
            components={
                "figure_of_merit": gap.mean * epsilon.mean,
                "band_gap": gap.mean,
                "band_gap_std": gap.std,
                "dielectric": epsilon.mean,
                "dielectric_std": epsilon.std,
                "e_above_hull": above,
                "unstable": unstable.astype(np.float64),
                "references": placement.references.astype(np.float64),
            },
            failure=0.0,
            struck=verdict.struck,
        )


def build(settings: FigureOfMeritReward, sources: Sources) -> FigureOfMerit:
    """The reward with its potential and the property models that come with the package."""
    return FigureOfMerit(
        settings,
        sources.energies(settings.potential),
        load_ensemble("band_gap"),
        load_ensemble("dielectric"),
    )
