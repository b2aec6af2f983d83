"""Validity of a generated crystal: distances, volume and charges.

The rules are CDVAE's (Xie et al., ICLR 2022, arXiv 2110.06197), with one departure: an atom's own
periodic images count as neighbours, without which a collapsed cell of one atom would pass.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure
from smact.screening import smact_validity

from crystalformer_rl.stability.elements import element_amounts

MIN_DISTANCE_ANGSTROM = 0.5
MIN_VOLUME_ANGSTROM3 = 0.1
# The oxidation states of CDVAE's rule; newer SMACT sets give other fractions.
OXIDATION_STATES = "smact14"


@dataclass(frozen=True)
class Validity:
    """The verdict on one crystal.

    Attributes
    ----------
    distance
        All atoms, periodic images included, are more than 0.5 Å apart.
    volume
        The cell is larger than 0.1 Å³.
    charge
        SMACT finds neutral oxidation states in accord with Pauling's electronegativities, or the
        crystal is an element or an alloy.
    min_distance
        Å, or None if there is no crystal.
    reason
        Why it is not valid, or None.
    """

    distance: bool
    volume: bool
    charge: bool
    min_distance: float | None
    reason: str | None

    @property
    def valid(self) -> bool:
        """Whether all three hold."""
        return self.distance and self.volume and self.charge


def judge(structure: Structure | None) -> Validity:
    """Validity of ``structure``; what could not be decoded (None) is not valid."""
    if structure is None:
        return Validity(
            distance=False, volume=False, charge=False, min_distance=None, reason="no structure"
        )
    reasons = []
    volume = abs(float(structure.volume))
    shortest = min_distance(structure) if volume > 0 and np.isfinite(volume) else 0.0
    if not shortest > MIN_DISTANCE_ANGSTROM:
        reasons.append(f"atoms {shortest:.3f} Å apart")
    if not volume > MIN_VOLUME_ANGSTROM3:
        reasons.append(f"volume {volume:.3g} Å³")
    uncharged = charge_problem(structure.composition)
    if uncharged is not None:
        reasons.append(uncharged)
    return Validity(
        distance=shortest > MIN_DISTANCE_ANGSTROM,
        volume=volume > MIN_VOLUME_ANGSTROM3,
        charge=uncharged is None,
        min_distance=float(shortest),
        reason="; ".join(reasons) or None,
    )


def min_distance(structure: Structure) -> float:
    """Shortest distance between two atoms, Å, periodic and own images included."""
    lattice = structure.lattice
    distances = lattice.get_all_distances(structure.frac_coords, structure.frac_coords)
    np.fill_diagonal(distances, np.inf)
    return float(min(distances.min(), _shortest_vector(lattice.get_lll_reduced_lattice().matrix)))


def _shortest_vector(matrix: NDArray[np.float64]) -> float:
    """Length of the shortest lattice vector, Å; within ±3 steps for an LLL-reduced ``matrix``."""
    steps = np.array([step for step in product(range(-3, 4), repeat=3) if any(step)])
    return float(np.linalg.norm(steps @ matrix, axis=1).min())


def charge_problem(composition: Composition) -> str | None:
    """Why SMACT does not call ``composition`` valid, or None if it does.

    An element that SMACT does not know makes the composition invalid, and is named.
    """
    amounts = element_amounts(composition)
    return _charge_problem(Composition(amounts).reduced_formula)


@lru_cache(maxsize=65536)
def _charge_problem(formula: str) -> str | None:
    try:
        valid = smact_validity(formula, oxidation_states_set=OXIDATION_STATES)
    except (KeyError, NameError) as error:
        return f"SMACT: {error.args[0] if error.args else error}"
    return None if valid else "SMACT: no neutral oxidation states"
