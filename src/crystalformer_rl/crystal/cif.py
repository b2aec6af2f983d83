"""CIF text to a structure: quickly for the plain layout of data sets, else by pymatgen.

Data sets such as MP-20 hold CIFs as pymatgen writes them without symmetry: space group P 1, one
operation, one loop of atoms. That layout is read here, ten times faster than by ``CifParser``;
whatever differs from it in any line is left to ``CifParser``.
"""

import re

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import DummySpecies, Element, Lattice, Structure
from pymatgen.io.cif import CifParser

_PLAIN = re.compile(
    r"(?:# generated using pymatgen\s+)?data_\S+\n"
    r"_symmetry_space_group_name_H-M\s+'P 1'\n"
    r"_cell_length_a\s+(?P<a>[\d.]+)\n"
    r"_cell_length_b\s+(?P<b>[\d.]+)\n"
    r"_cell_length_c\s+(?P<c>[\d.]+)\n"
    r"_cell_angle_alpha\s+(?P<alpha>[\d.]+)\n"
    r"_cell_angle_beta\s+(?P<beta>[\d.]+)\n"
    r"_cell_angle_gamma\s+(?P<gamma>[\d.]+)\n"
    r"_symmetry_Int_Tables_number\s+1\n"
    r"(?:_chemical_formula_structural\s+\S+\n)?"
    r"(?:_chemical_formula_sum\s+(?:'[^'\n]*'|\S+)\n)?"
    r"(?:_cell_volume\s+\S+\n)?"
    r"(?:_cell_formula_units_Z\s+\d+\n)?"
    r"loop_\n"
    r" _symmetry_equiv_pos_site_id\n"
    r" _symmetry_equiv_pos_as_xyz\n"
    r"  1  'x, y, z'\n"
    r"loop_\n"
    r" _atom_site_type_symbol\n"
    r" _atom_site_label\n"
    r" _atom_site_symmetry_multiplicity\n"
    r" _atom_site_fract_x\n"
    r" _atom_site_fract_y\n"
    r" _atom_site_fract_z\n"
    r" _atom_site_occupancy\n"
    r"(?P<atoms>(?:[ \t]+[A-Z][a-z]?[ \t]+[A-Z][A-Za-z]*[\d_]+[ \t]+1"
    r"(?:[ \t]+-?\d+\.\d+){3}[ \t]+1(?:\.0*)?[ \t]*\n)+)\s*"
)
_LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")
_SYMBOLS = frozenset(element.name for element in Element) - {"D", "T"}
# Tolerances of CifParser: sites this close are one site; thirds this close are thirds.
_SAME_SITE = 1e-4
_SAME_FRACTION = 1e-4


def structure_from_cif(text: str) -> Structure:
    """The (first) structure of a CIF, in the cell that it is given in.

    Raises
    ------
    ValueError
        If there is none, or pymatgen cannot read it; the message has pymatgen's words.
    """
    if not text.strip():
        raise ValueError("the CIF is empty")
    structure = plain_structure(text)
    return _parse(text) if structure is None else structure


def plain_structure(text: str) -> Structure | None:
    """The structure of a CIF in the plain P 1 layout, or None for any other text.

    Equal to what ``CifParser`` gives, but for the order of the sites, which is the file's.
    """
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    rows = [line.split() for line in match["atoms"].splitlines()]
    symbols = [row[0] for row in rows]
    if not _SYMBOLS.issuperset(symbols):
        return None
    positions = _thirds(np.array([row[3:6] for row in rows], dtype=float))
    offset = positions[:, None] - positions[None]
    offset -= np.round(offset)
    close = (np.abs(offset) < 2 * _SAME_SITE).all(axis=2).sum()
    if close > len(rows):
        return None
    lattice = Lattice.from_parameters(*(float(match[name]) for name in _LATTICE))
    if not (np.isfinite(lattice.matrix).all() and min(lattice.d_hkl(h) for h in np.eye(3)) > 0.01):
        return None
    return Structure(lattice, symbols, positions - np.floor(positions))


def _thirds(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    for fraction in (1 / 3, 2 / 3):
        positions = np.where(
            np.abs(positions / fraction - 1) <= _SAME_FRACTION, fraction, positions
        )
    return positions


def _parse(text: str) -> Structure:
    try:
        structures = CifParser.from_str(text).parse_structures(primitive=False)
    except Exception as error:
        # CifParser meets damaged text with errors of a dozen kinds; each is one unreadable CIF.
        raise ValueError(f"{type(error).__name__}: {error}") from error
    structure = structures[0]
    if any(isinstance(kind, DummySpecies) for kind in structure.composition.elements):
        raise ValueError(f"{structure.formula} has species that are no chemical elements")
    return structure
