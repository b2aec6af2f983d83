"""The cell and the sites that a block of a CIF lists."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice

from crystalformer_rl.crystal.formula import HYDROGEN, SYMBOLS
from crystalformer_rl.crystal.physical import PartlyOccupiedError
from crystalformer_rl.crystal.star import Block

_WHOLE = re.compile(r"(\d+)(?:\.0*)?(?:\(\d+\))?")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\(\d+\))?")
# An element, perhaps its charge, and perhaps pymatgen's spin: Ti4+, O2-, Fe+2, Cl0, Fe0+,spin=2.2.
_TYPE = re.compile(r"([A-Za-z]{1,2})(?:\d*\.?\d*[+-]?|[+-]\d*\.?\d*)(?:,spin=[+-]?[\d.]+)?")
# An element and what tells its sites apart: O1, O1A, O_2, Mg(1), O'. OH and OW name no element.
_LABEL = re.compile(r"([A-Za-z]{1,2})(?:[^A-Za-z].*)?")
_FULL = 1e-3
# Relative tolerance of pymatgen's CifParser: thirds this close are thirds.
_SAME_FRACTION = 1e-4
_FRACTIONAL = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_MULTIPLICITIES = ("_atom_site_site_symmetry_multiplicity", "_atom_site_symmetry_multiplicity")
_EDGES = tuple(f"_cell_length_{axis}" for axis in "abc")
_ANGLES = tuple(f"_cell_angle_{axis}" for axis in ("alpha", "beta", "gamma"))


@dataclass(frozen=True)
class Sites:
    """Sites of a block.

    Attributes
    ----------
    lattice
        The cell.
    symbols
        ``(m,)`` elements.
    positions
        ``(m, 3)`` fractional coordinates.
    names
        ``(m,)`` what the block calls them.
    multiplicities
        ``(m,)`` declared numbers of atoms of the site in the cell, None where there is none.
    """

    lattice: Lattice
    symbols: list[str]
    positions: NDArray[np.float64]
    names: list[str]
    multiplicities: list[int | None]


def number_of(text: str, what: str) -> float:
    """A number of a CIF, perhaps with its standard uncertainty: ``4.594(3)``.

    Raises
    ------
    ValueError
        If it is not one, or unknown (``?`` and ``.``); the message names ``what``.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        known = "is not known" if text in {".", "?"} else "is not a number"
        raise ValueError(f"{what} {known}: {text[:40]!r}")
    number = float(match[1])
    if not math.isfinite(number):
        raise ValueError(f"{what} is too large: {text[:40]!r}")
    return number


def sites_of(block: Block) -> Sites:
    """Read the cell and the sites of a block.

    Raises
    ------
    PartlyOccupiedError
        If a site is occupied in part.
    ValueError
        If a value is missing or damaged, or a site has no known element.
    """
    lattice = _lattice(block)
    if missing := [tag for tag in _FRACTIONAL if tag not in block.values]:
        raise ValueError(f"there are no fractional coordinates: {missing[0]} is missing")
    names = block.values.get("_atom_site_label") or block.values.get("_atom_site_type_symbol")
    if names is None:
        raise ValueError("the sites have neither _atom_site_label nor _atom_site_type_symbol")
    _refuse_odd_sites(block, names)
    columns = [
        [
            number_of(value, f"a coordinate of site {name}")
            for name, value in _column(block, tag, names)
        ]
        for tag in _FRACTIONAL
    ]
    return Sites(
        lattice, _symbols(block, names), np.array(columns).T, names, _multiplicities(block, names)
    )


def _column(block: Block, tag: str, names: list[str]) -> list[tuple[str, str]]:
    """Name and value of each site, [] if there is no such column."""
    values = block.values.get(tag)
    if values is not None and len(values) != len(names):
        raise ValueError(f"{len(names)} sites have {len(values)} values of {tag}: is one cut off?")
    return list(zip(names, values or [], strict=False))


def _lattice(block: Block) -> Lattice:
    values = []
    for tag in (*_EDGES, *_ANGLES):
        if tag not in block.values:
            raise ValueError(f"{tag} is missing")
        values.append(number_of(block.values[tag][0], tag))
    return lattice_of(values)


def lattice_of(parameters: Sequence[float]) -> Lattice:
    """The lattice with three edges, Å, and three angles, degrees.

    Raises
    ------
    ValueError
        If they close no cell.
    """
    edges, angles = list(parameters[:3]), list(parameters[3:])
    if min(edges) <= 0:
        raise ValueError(f"cell edges {edges} Å: each must be above 0")
    cosines = np.cos(np.radians(angles))
    closed = 1 - (cosines**2).sum() + 2 * cosines.prod()
    if not (min(angles) > 0 and max(angles) < 180 and closed > 1e-6):
        raise ValueError(f"cell angles {angles}°: they close no cell")
    return Lattice.from_parameters(*edges, *angles)


def exact_thirds(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional coordinates with 1/3 and 2/3 for what is rounded to them, such as 0.33333333."""
    for fraction in (1 / 3, 2 / 3):
        positions = np.where(
            np.abs(positions / fraction - 1) <= _SAME_FRACTION, fraction, positions
        )
    return positions


def _refuse_odd_sites(block: Block, names: list[str]) -> None:
    """Raise for sites that are not one whole atom each."""
    for name, value in _column(block, "_atom_site_occupancy", names):
        # The dictionary of CIF: an occupancy that is not given is 1.
        occupancy = 1.0 if value == "." else number_of(value, f"the occupancy of site {name}")
        if not 0 <= occupancy <= 1 + _FULL:
            raise ValueError(f"the occupancy of site {name} is {value}: must be 0 to 1")
        if occupancy < 1 - _FULL:
            raise PartlyOccupiedError(f"site {name} is partially occupied: {value}")
    groups = {value for _, value in _column(block, "_atom_site_disorder_group", names)}
    if len(groups - {".", "?", "0"}) > 1:
        raise PartlyOccupiedError(
            f"sites of different disorder groups: {', '.join(sorted(groups - {'.', '?', '0'}))}"
        )
    for name, value in _column(block, "_atom_site_attached_hydrogens", names):
        if value not in {".", "?"} and number_of(value, f"the hydrogens of site {name}"):
            raise ValueError(f"{value} hydrogen atoms of site {name} have no coordinates")
    for name, value in _column(block, "_atom_site_calc_flag", names):
        if value.lower() == "dum":
            raise ValueError(f"site {name} is a dummy, not an atom")


def _multiplicities(block: Block, names: list[str]) -> list[int | None]:
    for tag in _MULTIPLICITIES:
        matches = [_WHOLE.fullmatch(value) for _, value in _column(block, tag, names)]
        values = [int(match[1]) if match else None for match in matches]
        # Programs that do not know the multiplicities write 1 for all sites.
        if any(value not in (None, 1) for value in values):
            return values
    return [None] * len(names)


def _symbols(block: Block, names: list[str]) -> list[str]:
    """Elements of the sites: of the type symbol, else of the label."""
    kinds = _column(block, "_atom_site_type_symbol", names) or [(name, ".") for name in names]
    declared = block.first("_chemical_formula_sum") is not None
    return [
        _symbol(label, _LABEL, f"label {label!r}", capitals=declared)
        if kind in {".", "?"}
        else _symbol(kind, _TYPE, f"type symbol {kind!r} of site {label}", capitals=declared)
        for label, kind in kinds
    ]


def _symbol(text: str, pattern: re.Pattern[str], what: str, *, capitals: bool) -> str:
    """The element that ``text`` starts with.

    ``capitals``: CL may be chlorine. CO is cobalt or carbon and oxygen, so that is only for CIFs
    whose formula is compared with the sites.
    """
    match = pattern.fullmatch(text)
    symbol = match[1] if match else ""
    if symbol not in SYMBOLS and capitals:
        symbol = symbol.capitalize()
    if symbol not in SYMBOLS:
        raise ValueError(f"{what}: not an element")
    return HYDROGEN.get(symbol, symbol)
