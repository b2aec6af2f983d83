"""Numbers of a composition that follow from tables of the elements.

Prices and concentrations are those of pymatgen (MIT): US$/kg of 2013, from Wolfram Alpha and
Wikipedia, and the Herfindahl-Hirschman indices (HHI) of Gaultois et al. (doi 10.1021/cm400893e).
Abundances in the Earth's crust are those of SMACT (MIT), from the CRC Handbook. A composition with
an element that a table lacks has no number: NaN.
"""

import warnings
from functools import cache

import numpy as np
import scipy.constants
import smact
from pymatgen.analysis.cost import CostDBElements
from pymatgen.analysis.hhi import HHIModel
from pymatgen.core import Composition, Element


def log_price(composition: Composition) -> float:
    """log10 of the price of the elements, US$/kg, mean by mass."""
    prices = [_price(element) * composition.get_wt_fraction(element) for element in composition]
    return float(np.log10(sum(prices)))


def log_abundance(composition: Composition) -> float:
    """log10 of the abundance of the scarcest element in the Earth's crust, mg/kg."""
    return float(np.log10(np.min([_abundance(element) for element in composition])))


def hhi_production(composition: Composition) -> float:
    """HHI of production, mean by mass, from 0 to 10,000."""
    return _number(HHIModel().get_hhi_production(composition))


def hhi_reserve(composition: Composition) -> float:
    """HHI of known reserves, mean by mass, from 0 to 10,000."""
    return _number(HHIModel().get_hhi_reserve(composition))


@cache
def _prices() -> CostDBElements:
    """The table, read without warnings of noble gases, whose electronegativity is not needed."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return CostDBElements()


@cache
def _price(element: Element) -> float:
    """US$/kg."""
    entries = _prices().get_entries([element])
    if not entries:
        return np.nan
    return float(entries[0].energy / (element.atomic_mass.to("kg") * scipy.constants.N_A))


@cache
def _abundance(element: Element) -> float:
    """mg/kg."""
    return _number(smact.Element(element.symbol).crustal_abundance)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
