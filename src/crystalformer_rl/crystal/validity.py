"""Validity of a generated crystal: distances, volume, charges and density.

``valid`` follows CDVAE (Xie et al., ICLR 2022, arXiv 2110.06197): distances and volume (structural
validity) and charges (compositional validity). There is one difference: the periodic images of an
atom count as its neighbours, because otherwise a collapsed cell with one atom would pass. The
oxidation states are SMACT's of 2014, as in CDVAE; newer sets give other fractions.

The density is a separate check and not a condition of ``valid``, so that its fractions compare with
published ones. The bounds are those of LeMat-GenBench (arXiv 2512.04562), 0.01 to 25 g/cm³. They
include all of MP-20, from solid hydrogen (0.097) to plutonium (24.3); a lower bound of 0.1 would
exclude the former.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pymatgen.core import Composition, Structure
from smact import Element, metals

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.distances import MIN_DISTANCE_ANGSTROM, min_distance
from crystalformer_rl.stability.elements import element_amounts

MIN_VOLUME_ANGSTROM3 = 0.1
DENSITY_G_CM3 = (0.01, 25.0)


@dataclass(frozen=True)
class Validity:
    """Validity of one crystal.

    Attributes
    ----------
    distance
        All atoms, periodic images included, are more than 0.5 Å apart.
    volume
        The cell is larger than 0.1 Å³.
    charge
        SMACT finds neutral oxidation states that agree with Pauling's electronegativities, or the
        crystal is an element or an alloy.
    density
        The mass density is between 0.01 and 25 g/cm³.
    min_distance, cell_volume, mass_density
        Å, Å³, g/cm³, or None if there is no crystal. The density is also None if there is no
        volume, and the distance if a coordinate is not finite.
    reason
        Why it is not valid, or None.
    """

    distance: bool
    volume: bool
    charge: bool
    density: bool
    min_distance: float | None
    cell_volume: float | None
    mass_density: float | None
    reason: str | None

    @property
    def valid_structure(self) -> bool:
        """CDVAE's structural validity: distance and volume."""
        return self.distance and self.volume

    @property
    def valid(self) -> bool:
        """CDVAE's validity: structure and charge. It does not include the density."""
        return self.valid_structure and self.charge


def check_validity(structure: Structure | None) -> Validity:
    """Validity of ``structure``; None and a structure without atoms are not valid."""
    if not structure:
        return Validity(
            distance=False,
            volume=False,
            charge=False,
            density=False,
            min_distance=None,
            cell_volume=None,
            mass_density=None,
            reason="no structure" if structure is None else "no atoms",
        )
    reasons = []
    volume = abs(float(structure.volume))
    solid = volume > 0 and np.isfinite(volume)
    finite = bool(np.isfinite(structure.frac_coords).all())
    shortest = min_distance(structure) if finite else None
    density = Cell.of(structure).density if solid else None
    distant = shortest is not None and shortest > MIN_DISTANCE_ANGSTROM
    if shortest is None:
        reasons.append("a coordinate is not finite")
    elif not distant:
        reasons.append(f"atoms {shortest:.3f} Å apart")
    if not volume > MIN_VOLUME_ANGSTROM3:
        reasons.append(f"volume {volume:.3g} Å³")
    uncharged = charge_problem(structure.composition)
    if uncharged is not None:
        reasons.append(uncharged)
    return Validity(
        distance=distant,
        volume=volume > MIN_VOLUME_ANGSTROM3,
        charge=uncharged is None,
        density=density is not None and DENSITY_G_CM3[0] <= density <= DENSITY_G_CM3[1],
        min_distance=shortest,
        cell_volume=volume,
        mass_density=density,
        reason="; ".join(reasons) or None,
    )


def charge_problem(composition: Composition) -> str | None:
    """Why ``composition`` is not valid by SMACT's rule, or None if it is.

    The rule of ``smact.screening.smact_validity``: an element, an alloy, or one oxidation state per
    element that add up to zero, where every cation is less electronegative than every anion. SMACT
    tries all combinations of states, which takes too long with ten elements. Here the sums that can
    be reached are collected element by element, for each electronegativity that may separate
    cations from anions. A composition with an element that SMACT does not know is not valid.
    """
    amounts = element_amounts(composition)
    return _charge_problem(Composition(amounts).reduced_formula)


@lru_cache(maxsize=65536)
def _charge_problem(formula: str) -> str | None:
    amounts = {str(s): int(n) for s, n in Composition(formula).get_el_amt_dict().items()}
    if len(amounts) == 1 or all(symbol in metals for symbol in amounts):
        return None
    try:
        elements = {symbol: Element(symbol) for symbol in amounts}
    except (KeyError, NameError) as error:
        return f"SMACT: {error.args[0] if error.args else error}"
    unknown = [
        symbol
        for symbol, element in elements.items()
        if element.pauling_eneg is None or not element.oxidation_states_smact14
    ]
    if unknown:
        return f"SMACT: no oxidation states or electronegativity of {', '.join(unknown)}"
    for cut in {element.pauling_eneg for element in elements.values()}:
        sums = {0}
        for symbol, element in elements.items():
            sign = 1 if element.pauling_eneg <= cut else -1
            states = [q for q in element.oxidation_states_smact14 if sign * q >= 0]
            sums = {total + amounts[symbol] * q for total in sums for q in states}
        if 0 in sums:
            return None
    return "SMACT: no neutral oxidation states"
