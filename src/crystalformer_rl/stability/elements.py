"""Amounts and energies of the elements, and formation energies from total energies."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pymatgen.core import Composition, Element, Structure

ISOTOPES = {"D": "H", "T": "H"}
_PLAIN_FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?)+")
_PART = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?")
_SYMBOLS = frozenset(Element.__members__)
# Plain, without an amount of zero.
_POSITIVE_FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:[1-9]\d*(?:\.\d+)?)?)+")
_SYMBOL = re.compile(r"[A-Z][a-z]?")


class Crystal(Protocol):
    """A crystal with an energy; a pymatgen structure is made only for a correction that needs it.

    The package ``crystal``, which has the arrays of a crystal, is above this one.
    """

    @property
    def composition(self) -> Composition:
        """How many atoms there are of each element."""
        ...

    def structure(self) -> Structure:
        """The same as a pymatgen structure."""
        ...


def element_amounts(composition: Composition) -> dict[str, float]:
    """Amount of each element by symbol, without oxidation states; isotopes count as hydrogen.

    >>> element_amounts(Composition("NaD"))
    {'Na': 1.0, 'H': 1.0}
    """
    amounts: dict[str, float] = {}
    for symbol, amount in composition.get_el_amt_dict().items():
        name = ISOTOPES.get(symbol, symbol)
        amounts[name] = amounts.get(name, 0.0) + float(amount)
    return amounts


def parse_formula(formula: str) -> dict[str, float]:
    """Amount of each element of a neutral compound; isotopes count as hydrogen.

    Plain formulas do not go through pymatgen's parser, which is 20 times slower.

    >>> parse_formula("NaN")
    {'Na': 1.0, 'N': 1.0}

    Raises
    ------
    ValueError
        If the formula cannot be read, has a charge, or contains an unknown element.
    """
    amounts: dict[str, float] = {}
    if _PLAIN_FORMULA.fullmatch(formula):
        for symbol, number in _PART.findall(formula):
            name = ISOTOPES.get(symbol, symbol)
            amounts[name] = amounts.get(name, 0.0) + float(number or 1)
    elif "+" in formula or "-" in formula:
        raise ValueError(f"formula {formula!r} cannot be read: only neutral compounds are allowed")
    else:
        try:
            amounts = element_amounts(Composition(formula))
        except ValueError as error:
            raise ValueError(f"formula {formula!r} cannot be read: {error}") from error
    unknown = sorted(set(amounts) - _SYMBOLS)
    if unknown or not amounts or min(amounts.values()) <= 0:
        what = f"unknown element {', '.join(unknown)}" if unknown else "no positive amounts"
        raise ValueError(f"formula {formula!r} cannot be read: {what}")
    return amounts


def elements_of(formula: str) -> frozenset[str]:
    """The elements of :func:`parse_formula`, in a fifth of the time for most formulas.

    >>> sorted(elements_of("NaN"))
    ['N', 'Na']

    Raises
    ------
    ValueError
        As :func:`parse_formula`.
    """
    if _POSITIVE_FORMULA.fullmatch(formula):
        symbols = frozenset(_SYMBOL.findall(formula))
        if symbols <= _SYMBOLS and symbols.isdisjoint(ISOTOPES):
            return symbols
    return frozenset(parse_formula(formula))


@dataclass(frozen=True)
class ElementReferences:
    """Energy per atom of each element's reference crystal, all from one potential.

    Attributes
    ----------
    energies
        eV/atom by symbol, in the potential's own energy convention.
    correction
        The corrected formation energy of a crystal, from the crystal and its formation energy by
        the potential's own energies, both eV/atom; None if these stay as they are. That of an
        element is 0 before and after.
    """

    energies: Mapping[str, float]
    correction: Callable[[Structure, float], float] | None = None

    def formation_energy(self, crystal: Crystal | Composition, energy_per_atom: float) -> float:
        """Formation energy, eV/atom: energy − Σ x_i μ_i over atomic fractions x_i, corrected.

        A composition is enough if there is no correction.

        Raises
        ------
        ValueError
            If an element has no reference energy, or the composition is empty.
        TypeError
            If there is a correction and ``crystal`` is a composition.
        """
        composition = crystal if isinstance(crystal, Composition) else crystal.composition
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
        formation = energy_per_atom - reference / total
        if self.correction is None:
            return formation
        if isinstance(crystal, Composition):
            raise TypeError(
                f"{composition.reduced_formula}: the correction of its energy needs a structure"
            )
        return self.correction(crystal.structure(), formation)
