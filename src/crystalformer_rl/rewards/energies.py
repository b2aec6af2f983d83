"""Energy above hull and crystal features of unrelaxed crystals, from one call of the potential."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from crystalformer_rl.potentials.base import Evaluation, Potential, evaluate_each
from crystalformer_rl.stability.elements import ElementReferences, element_amounts
from crystalformer_rl.stability.hull import Hull

# Where ``hull.min_references`` and ``hull.exclude_ytterbium`` silence the hull, the crystal is not
# at fault and a reward abstains. ``no_element_reference`` is not among them: such a crystal holds
# an element of which the run knows nothing, and abstaining would let a policy gather there unseen.
UNDECIDED = ("sparse", "ytterbium")


@dataclass(frozen=True)
class Energies:
    """What one evaluation says of n crystals.

    Attributes
    ----------
    compositions
        None where the potential could not evaluate the crystal.
    e_above_hull
        (n,) eV/atom; NaN where the status is not ``ok``.
    hull_status
        As of :class:`~crystalformer_rl.stability.hull.HullResult`, or ``no_energy``.
    references
        (n,) compositions that the hull knows in the chemical system, 0 where unknown.
    features
        (n, d) crystal features of the potential, NaN where it failed; d is 0 if it has none.
    """

    compositions: list[Composition | None]
    e_above_hull: NDArray[np.float64]
    hull_status: list[str]
    references: NDArray[np.int64]
    features: NDArray[np.float64]

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """(n,) where the hull has no opinion by a rule of its own, see :data:`UNDECIDED`."""
        return np.isin(self.hull_status, UNDECIDED)


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
        status = ["no_energy"] * len(structures)
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
            else:
                status[index] = "no_element_reference"
        if placed:
            known = [c for index in placed if (c := compositions[index]) is not None]
            result = self.hull.e_above_hull(known, formation)
            above[placed] = result.e_above_hull
            references[placed] = result.references
            for index, word in zip(placed, result.status, strict=True):
                status[index] = word
        return Energies(compositions, above, status, references, _stack(features, len(structures)))


def _stack(features: dict[int, NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    width = len(next(iter(features.values()))) if features else 0
    table = np.full((count, width), np.nan)
    for index, row in features.items():
        table[index] = row
    return table
