"""Corrections of PBE energies, computed from a structure: MP2020 and TRI2024.

PBE has systematic errors for anions. In addition, only the oxides and fluorides of some metals are
computed with a Hubbard U, and their energies do not compare with those without.

MP2020, of the Materials Project, adds an energy for each atom of such a species: Wang et al., Sci.
Rep. 11, 15496 (2021); Jain et al., Phys. Rev. B 84, 045115 (2011). The values are read from the
file in pymatgen. The result equals pymatgen's ``MaterialsProject2020Compatibility`` for a
calculation with the Materials Project's settings, which use a U exactly where the scheme expects
one, so no VASP input is needed.

TRI2024 multiplies the energy by one factor, and adds an energy for each metal with a U: Rohr, Suram
and Bakander, doi.org/10.26434/chemrxiv-2024-q5058, section 2.1 and table 1 of its supplement. There
is no case for a kind of anion. The values are those of MatterGen's ``TRI110Compatibility2024``
(github.com/microsoft/mattergen, mattergen/evaluation/reference/correction_schemes.py).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from pymatgen.core import Composition, Element, Structure

from crystalformer_rl.stability.elements import element_amounts
from crystalformer_rl.stability.oxidation import likeliest_states

# Corrected if they are anions. Oxygen and sulphur are classified by distances instead.
ANIONS = ("Br", "I", "Se", "Si", "Sb", "Te", "H", "N", "F", "Cl")
# Average states between this and 0 occur in metal-rich compounds, which are not in the fit.
WEAKEST_ANION = -1
# Factor by which O-O and O-H bonds may be longer than in the molecules.
BOND_TOLERANCE = 1.05

MP2020, TRI2024 = "MP2020", "TRI2024"
TRI2024_FACTOR = 1.108
# eV per atom of a metal that is computed with a U.
TRI2024_METALS = {
    "Co": -2.275, "Cr": -2.707, "Fe": -3.189, "Mn": -2.280, "Mo": -4.930, "Ni": -3.361,
    "V": -2.774, "W": -6.261,
}  # fmt: skip

# The corrected formation energy of a crystal (eV/atom) from that by a potential's own energies.
Correction = Callable[[Structure, float], float]


def mp2020_correction(structure: Structure) -> float:
    """Correction that MP2020 adds to the energy of a crystal, eV/atom; 0 for an element.

    Add it once, and only to uncorrected energies, not to those of a potential that was trained on
    corrected ones.
    """
    composition = Composition(element_amounts(structure.composition))
    if len(composition) == 1:
        return 0.0
    scheme = _scheme()
    amounts = {element.symbol: amount for element, amount in composition.items()}
    # Among elements of equal electronegativity the last one counts, as in pymatgen.
    strongest = sorted(amounts, key=_electronegativity)[-1]
    total = 0.0
    if "S" in amounts and not _is_sulphate(structure, amounts):
        total += scheme.anions["S"] * amounts["S"]
    if "O" in amounts:
        total += scheme.anions[_kind_of_oxide(structure)] * amounts["O"]
    if present := [symbol for symbol in ANIONS if symbol in amounts]:
        states = likeliest_states(composition)
        total += sum(
            scheme.anions[symbol] * amounts[symbol]
            for symbol in present
            if _is_anion(symbol, states.get(symbol, 0.0), strongest)
        )
    metals = scheme.metals.get(strongest, {})
    total += sum(metals[symbol] * amounts[symbol] for symbol in amounts if symbol in metals)
    return float(total / sum(amounts.values()))


def tri2024_formation_energy(crystal: Structure | Composition, formation_energy: float) -> float:
    """Formation energy with TRI2024's corrections from one without corrections, both eV/atom.

    The scheme multiplies the total energies of compound and elements by the same factor, and so the
    formation energy. The energies of the metals are added where the Materials Project computes with
    a U: in a compound whose most electronegative element is O or F.
    """
    composition = crystal.composition if isinstance(crystal, Structure) else crystal
    amounts = element_amounts(composition)
    added = 0.0
    if sorted(amounts, key=_electronegativity)[-1] in ("O", "F"):
        added = sum(TRI2024_METALS.get(symbol, 0.0) * n for symbol, n in amounts.items())
    return TRI2024_FACTOR * formation_energy + added / sum(amounts.values())


def correction_of(scheme: str, *, corrected: bool) -> Correction | None:
    """The correction of a potential's formation energies by a scheme; None if they are not changed.

    Parameters
    ----------
    scheme
        ``MP2020`` or ``TRI2024``.
    corrected
        Whether the potential was trained on energies with MP2020's corrections. TRI2024 takes them
        out first.
    """
    if scheme == TRI2024:
        if corrected:
            return lambda crystal, energy: tri2024_formation_energy(
                crystal, energy - mp2020_correction(crystal)
            )
        return tri2024_formation_energy
    return None if corrected else lambda crystal, energy: energy + mp2020_correction(crystal)


def is_correctable(symbols: Iterable[str]) -> bool:
    """Whether a compound of these elements contains an anion that MP2020 corrects."""
    ordered = sorted(symbols, key=_electronegativity)
    return len(ordered) > 1 and ordered[-1] in ("O", "S", *ANIONS)


def is_surely_corrected(amounts: Mapping[str, float]) -> bool:
    """Whether MP2020 corrects a composition in every structure.

    Parameters
    ----------
    amounts
        Amount of each element by symbol.

    Returns
    -------
    bool
        True for oxides, for sulphides, and for compounds with one most electronegative element that
        is among the :data:`ANIONS` and an anion by its likeliest oxidation state. False if it
        depends on the bonds (sulphates), if there is no likeliest state, and if nothing is
        corrected.
    """
    if len(amounts) == 1:
        return False
    if "O" in amounts:
        return True
    strongest = max(amounts, key=_electronegativity)
    others = [_electronegativity(symbol) for symbol in amounts if symbol != strongest]
    # Also False if an electronegativity is unknown (NaN).
    if not all(_electronegativity(strongest) > other for other in others):
        return False
    if strongest not in ANIONS:
        return strongest == "S"
    states = likeliest_states(Composition(amounts))
    return states.get(strongest, 0.0) <= WEAKEST_ANION


@dataclass(frozen=True)
class _Scheme:
    """eV per atom of an anion or kind of oxide, and of a metal by the anion of its compound."""

    anions: Mapping[str, float]
    metals: Mapping[str, Mapping[str, float]]


@cache
def _scheme() -> _Scheme:
    # The import takes a second, and most runs do not need it.
    from pymatgen.entries.compatibility import MP2020_COMPAT_CONFIG  # noqa: PLC0415

    corrections = MP2020_COMPAT_CONFIG["Corrections"]
    return _Scheme(corrections["CompositionCorrections"], corrections["GGAUMixingCorrections"])


def _is_anion(symbol: str, state: float, strongest: str) -> bool:
    """By its oxidation state if that is negative, else if it is the most electronegative."""
    return state <= WEAKEST_ANION if state < 0 else symbol == strongest


def _is_sulphate(structure: Structure, amounts: Mapping[str, float]) -> bool:
    """Whether some sulphur is bonded to more electronegative atoms, as in a sulphate."""
    limit = _electronegativity("S")
    if all(_electronegativity(symbol) <= limit for symbol in amounts):
        return False
    from pymatgen.analysis.structure_analyzer import sulfide_type  # noqa: PLC0415

    return sulfide_type(structure) is None


def _kind_of_oxide(structure: Structure) -> str:
    """``oxide``, ``peroxide``, ``superoxide`` or ``ozonide``, by the shortest O-O distances."""
    from pymatgen.analysis.structure_analyzer import oxide_type  # noqa: PLC0415

    kind = str(oxide_type(structure, BOND_TOLERANCE))
    return "oxide" if kind == "hydroxide" else kind


@cache
def _electronegativity(symbol: str) -> float:
    return float(Element(symbol).X)
