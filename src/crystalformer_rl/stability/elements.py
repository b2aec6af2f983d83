"""Energies of the elements: from a potential's total energy to a formation energy."""

from collections.abc import Mapping
from dataclasses import dataclass

from pymatgen.core import Composition

ISOTOPES = {"D": "H", "T": "H"}


def element_amounts(composition: Composition) -> dict[str, float]:
    """Amount of each element by symbol: oxidation states dropped, isotopes counted as H.

    >>> element_amounts(Composition("NaD"))
    {'Na': 1.0, 'H': 1.0}
    """
    amounts: dict[str, float] = {}
    for symbol, amount in composition.get_el_amt_dict().items():
        name = ISOTOPES.get(symbol, symbol)
        amounts[name] = amounts.get(name, 0.0) + float(amount)
    return amounts


@dataclass(frozen=True)
class ElementReferences:
    """Energy per atom of each element's reference crystal, all from one potential.

    Attributes
    ----------
    energies
        eV/atom by symbol, in the potential's own energy convention.
    """

    energies: Mapping[str, float]

    def formation_energy(self, composition: Composition, energy_per_atom: float) -> float:
        """Formation energy, eV/atom: ``energy_per_atom`` − Σ x_i μ_i over atomic fractions x_i.

        Raises
        ------
        ValueError
            If an element has no reference energy, or the composition is empty.
        """
        amounts = element_amounts(composition)
        total = sum(amounts.values())
        if total <= 0:
            raise ValueError("an empty composition has no formation energy")
        missing = sorted(set(amounts) - set(self.energies))
        if missing:
            raise ValueError(
                f"{composition.reduced_formula}: no reference energy of {', '.join(missing)}"
            )
        reference = sum(amount * self.energies[symbol] for symbol, amount in amounts.items())
        return energy_per_atom - reference / total
