"""The plain layout of CIFs, read quickly.

Data sets such as MP-20 hold CIFs as pymatgen writes them without symmetry: space group P 1, one
operation, one loop of atoms. That layout is read here, in a fraction of the time and with the same
checks as by :mod:`crystalformer_rl.crystal.cif`; whatever differs in any line is left to it.
"""

import re

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from crystalformer_rl.crystal.cell import Cell, volume_of
from crystalformer_rl.crystal.cif_sites import exact_thirds, lattice_of
from crystalformer_rl.crystal.formula import HYDROGEN, refuse_other_contents
from crystalformer_rl.crystal.physical import UnphysicalError, refuse_unphysical

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
    r"(?:_chemical_formula_sum\s+(?:'(?P<quoted>[^'\n]*)'|(?P<bare>[^\s'\"]+))\n)?"
    r"(?:_cell_volume\s+(?P<volume>\d+\.\d+)\n)?"
    r"(?:_cell_formula_units_Z\s+(?P<units>\d+)\n)?"
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
_NUMBERS = {element.name: element.Z for element in Element if element.name not in HYDROGEN}
# Tolerance of CifParser: sites this close are one site.
_SAME_SITE = 1e-4


def plain_cell(text: str) -> Cell | None:
    """The crystal of a CIF in the plain P 1 layout, or None for any other text.

    Equal to what pymatgen's ``CifParser`` gives, but for the order of the sites, which is the
    file's.

    Raises
    ------
    UnphysicalError
        If it cannot be a crystal.
    ValueError
        If its angles close no cell, or it declares another formula or volume than it has.
    """
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    rows = [line.split() for line in match["atoms"].splitlines()]
    symbols = [row[0] for row in rows]
    numbers = [_NUMBERS.get(symbol, 0) for symbol in symbols]
    if not all(numbers):
        return None
    positions = exact_thirds(np.array([row[3:6] for row in rows], dtype=float))
    matrix = lattice_of([float(match[name]) for name in _LATTICE]).matrix
    cell = Cell(matrix, np.array(numbers, dtype=np.int64), positions - np.floor(positions))
    problem = None
    try:
        refuse_unphysical(cell)
    except UnphysicalError as error:
        if _repeats_sites(positions):
            return None
        problem = error
    refuse_other_contents(
        symbols,
        volume_of(matrix),
        formula=match["quoted"] or match["bare"],
        units=float(match["units"]) if match["units"] else None,
        declared_volume=float(match["volume"]) if match["volume"] else None,
    )
    if problem is not None:
        raise problem
    return cell


def _repeats_sites(positions: NDArray[np.float64]) -> bool:
    offset = positions[:, None] - positions[None]
    offset -= np.round(offset)
    return bool((np.abs(offset) < 2 * _SAME_SITE).all(axis=2).sum() > len(positions))
