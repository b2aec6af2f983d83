"""Energy above hull and crystal features of unrelaxed crystals, from one call of the potential."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from crystalformer_rl.potentials.base import Evaluation, Potential, evaluate_each
from crystalformer_rl.stability.reference import Placement, ReferenceHull


@dataclass(frozen=True)
class Energies:
    """What one evaluation says about n crystals.

    Attributes
    ----------
    compositions
        None where the potential could not evaluate the crystal.
    placement
        Energies above hull of the crystals as generated.
    features
        (n, d) crystal features of the potential, NaN where it failed; d is 0 if it has none.
    """

    compositions: list[Composition | None]
    placement: Placement
    features: NDArray[np.float64]


@dataclass(frozen=True)
class EnergyAboveHull:
    """A potential and the hull of its energies."""

    potential: Potential
    hull: ReferenceHull

    def evaluate(self, structures: Sequence[Structure | None]) -> Energies:
        """Evaluate each crystal once, unrelaxed, and place it on the hull."""
        answers = evaluate_each(self.potential, structures, forces=False)
        compositions: list[Composition | None] = [None] * len(structures)
        energies = np.full(len(structures), np.nan)
        features: dict[int, NDArray[np.float64]] = {}
        for index, (structure, answer) in enumerate(zip(structures, answers, strict=True)):
            if structure is None or not isinstance(answer, Evaluation):
                continue
            compositions[index] = structure.composition
            energies[index] = answer.energy / len(structure)
            if answer.features is not None:
                features[index] = answer.features
        placement = self.hull.place(structures, energies)
        return Energies(compositions, placement, _stack(features, len(structures)))


def _stack(features: dict[int, NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    width = len(next(iter(features.values()))) if features else 0
    table = np.full((count, width), np.nan)
    for index, row in features.items():
        table[index] = row
    return table
