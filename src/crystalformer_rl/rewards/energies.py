"""Energy above hull and crystal features of unrelaxed crystals, from one call of the potential."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from crystalformer_rl.potentials.base import Evaluation, Potential, evaluate_each
from crystalformer_rl.stability.elements import ElementReferences, element_amounts
from crystalformer_rl.stability.hull import Hull


@dataclass(frozen=True)
class Energies:
    """What one evaluation says of n crystals.

    Attributes
    ----------
    compositions
        None where the potential could not evaluate the crystal.
    e_above_hull
        (n,) eV/atom; NaN where it failed or an element has no reference.
    references
        (n,) compositions that the hull knows in the chemical system, 0 where unknown.
    features
        (n, d) crystal features of the potential, NaN where it failed; d is 0 if it has none.
    """

    compositions: list[Composition | None]
    e_above_hull: NDArray[np.float64]
    references: NDArray[np.int64]
    features: NDArray[np.float64]


@dataclass(frozen=True)
class EnergyJudge:
    """A potential with the hull and the element energies that belong to it."""

    potential: Potential
    hull: Hull
    elements: ElementReferences

    def judge(self, structures: Sequence[Structure | None]) -> Energies:
        """Evaluate each crystal once, as it stands, and place it on the hull."""
        answers = evaluate_each(self.potential, structures, forces=False)
        compositions: list[Composition | None] = [None] * len(structures)
        above = np.full(len(structures), np.nan)
        references = np.zeros(len(structures), dtype=np.int64)
        features: dict[int, NDArray[np.float64]] = {}
        placed: list[int] = []
        formation: list[float] = []
        for index, (structure, answer) in enumerate(zip(structures, answers, strict=True)):
            if structure is None or not isinstance(answer, Evaluation):
                continue
            composition = structure.composition
            compositions[index] = composition
            if answer.features is not None:
                features[index] = answer.features
            if self.elements.energies.keys() >= element_amounts(composition).keys():
                energy = answer.energy / len(structure)
                formation.append(self.elements.formation_energy(structure, energy))
                placed.append(index)
        if placed:
            known = [c for index in placed if (c := compositions[index]) is not None]
            result = self.hull.e_above_hull(known, formation)
            above[placed] = result.e_above_hull
            references[placed] = result.references
        return Energies(compositions, above, references, _stack(features, len(structures)))


def _stack(features: dict[int, NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    width = len(next(iter(features.values()))) if features else 0
    table = np.full((count, width), np.nan)
    for index, row in features.items():
        table[index] = row
    return table
