"""The Materials Project's energy corrections of 2020 (MP2020), from a structure alone.

PBE errs on anions and, because only the oxides and fluorides of some metals are computed with a
Hubbard U, on energies of the two kinds together. MP2020 adds an energy per atom of such a species:
Wang et al., Sci. Rep. 11, 15496 (2021); Jain et al., Phys. Rev. B 84, 045115 (2011). The amounts
are read from the file in pymatgen. Equal to pymatgen's ``MaterialsProject2020Compatibility`` for a
calculation with the Materials Project's settings, which has a U exactly where the scheme expects
one; no VASP input is needed to know where that is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from pymatgen.core import Composition, Element, Structure

from crystalformer_rl.stability.elements import element_amounts
from crystalformer_rl.stability.oxidation import likeliest_states

# Corrected where they are anions. Oxygen and sulphur are told by distances instead.
ANIONS = ("Br", "I", "Se", "Si", "Sb", "Te", "H", "N", "F", "Cl")
# An average state between this and 0 is that of a metal-rich compound, which the fit does not know.
WEAKEST_ANION = -1
# O-O and O-H bonds may be so much longer than in the molecules.
BOND_TOLERANCE = 1.05


def mp2020_correction(structure: Structure) -> float:
    """What MP2020 adds to the energy of a crystal, eV/atom; 0 for an element.

    To be added to uncorrected energies only: once, and never to those of a potential that was
    trained on corrected ones.
    """
    composition = Composition(element_amounts(structure.composition))
    if len(composition) == 1:
        return 0.0
    scheme = _scheme()
    amounts = {element.symbol: amount for element, amount in composition.items()}
    # The last of the elements of equal electronegativity counts, as in pymatgen.
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


def is_correctable(symbols: Iterable[str]) -> bool:
    """Whether a compound of these elements holds an anion that MP2020 corrects."""
    ordered = sorted(symbols, key=_electronegativity)
    return len(ordered) > 1 and ordered[-1] in ("O", "S", *ANIONS)


def is_surely_corrected(amounts: Mapping[str, float]) -> bool:
    """Whether MP2020 corrects every crystal of a composition, whatever its structure.

    Parameters
    ----------
    amounts
        Amount of each element by symbol.

    Returns
    -------
    bool
        True of oxides, sulphides, and compounds whose one most electronegative element is another
        of the :data:`ANIONS` and by its likeliest oxidation state an anion. False where the bonds
        decide (sulphates), where there is no likeliest state, and where nothing is corrected.
    """
    if len(amounts) == 1:
        return False
    if "O" in amounts:
        return True
    strongest = max(amounts, key=_electronegativity)
    others = [_electronegativity(symbol) for symbol in amounts if symbol != strongest]
    # Not so either where an electronegativity is unknown, NaN.
    if not all(_electronegativity(strongest) > other for other in others):
        return False
    if strongest not in ANIONS:
        return strongest == "S"
    states = likeliest_states(Composition(amounts))
    return states.get(strongest, 0.0) <= WEAKEST_ANION


@dataclass(frozen=True)
class _Scheme:
    """eV per atom of an anion or kind of oxide, and of a metal by its compound's anion."""

    anions: Mapping[str, float]
    metals: Mapping[str, Mapping[str, float]]


@cache
def _scheme() -> _Scheme:
    # Takes a second to import, which most runs do not need.
    from pymatgen.entries.compatibility import MP2020_COMPAT_CONFIG  # noqa: PLC0415

    corrections = MP2020_COMPAT_CONFIG["Corrections"]
    return _Scheme(corrections["CompositionCorrections"], corrections["GGAUMixingCorrections"])


def _is_anion(symbol: str, state: float, strongest: str) -> bool:
    """By its oxidation state if that is negative, else by being the most electronegative."""
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
