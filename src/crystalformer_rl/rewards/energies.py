"""Energies above hull and crystal features, as generated or after a few steps of relaxation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import Evaluation, Potential, evaluate_each
from crystalformer_rl.potentials.relax import WITH_ENERGY, relax
from crystalformer_rl.stability.reference import Placement, ReferenceHull

CONVERGED_EV_PER_ANGSTROM = 0.1
"""Forces at which a relaxation within a reward ends early, as in the published evaluations."""


@dataclass(frozen=True)
class Energies:
    """The results of a potential for n crystals.

    Attributes
    ----------
    placement
        Energies above hull of the crystals.
    features
        (n, d) crystal features of the potential, NaN where it failed; d is 0 if it has none, or
        after a relaxation.
    """

    placement: Placement
    features: NDArray[np.float64]


@dataclass(frozen=True)
class EnergyAboveHull:
    """A potential and the hull of its energies."""

    potential: Potential
    hull: ReferenceHull

    def evaluate(self, cells: Sequence[Cell | None]) -> Energies:
        """Evaluate each crystal once, unrelaxed, and place it on the hull."""
        answers = evaluate_each(self.potential, cells, forces=False)
        energies = np.full(len(cells), np.nan)
        features: dict[int, NDArray[np.float64]] = {}
        for index, (cell, answer) in enumerate(zip(cells, answers, strict=True)):
            if cell is None or not isinstance(answer, Evaluation):
                continue
            energies[index] = answer.energy / len(cell)
            if answer.features is not None:
                features[index] = answer.features
        placement = self.hull.place(cells, energies)
        return Energies(placement, _stack(features, len(cells)))

    def relax(self, cells: Sequence[Cell | None], *, steps: int) -> Energies:
        """Take at most ``steps`` steps of relaxation of positions and cell, all crystals at once.

        The crystal is placed on the hull as it is then. One that diverges has no energy.
        """
        records = relax(
            self.potential,
            cells,
            max_force=CONVERGED_EV_PER_ANGSTROM,
            max_steps=steps,
        )
        relaxed = [one.cell if one.status in WITH_ENERGY else None for one in records]
        energies = np.array(
            [
                np.nan if cell is None or one.energy_final is None else one.energy_final
                for cell, one in zip(relaxed, records, strict=True)
            ],
            dtype=np.float64,
        )
        placement = self.hull.place(relaxed, energies)
        return Energies(placement, np.full((len(records), 0), np.nan))


def nearness(above: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """exp(−max(E, 0)/scale) of n energies above hull E, eV/atom: from 0 to 1, NaN gives 0."""
    known = np.where(np.isfinite(above), above, np.inf)
    return np.exp(-np.maximum(known, 0) / scale)


def _stack(features: dict[int, NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    width = len(next(iter(features.values()))) if features else 0
    table = np.full((count, width), np.nan)
    for index, row in features.items():
        table[index] = row
    return table
