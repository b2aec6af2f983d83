"""CIF text to structures, each compared with what the CIF states about it.

Every data block with a cell or atoms is a crystal. Its formula, number of formula units, volume,
space group and the multiplicities of its sites, where they are given, must be those of the atoms
that were read. A crystal may have more symmetry than its CIF declares, but not less.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.cif_sites import Sites, number_of, sites_of
from crystalformer_rl.crystal.formula import refuse_other_contents
from crystalformer_rl.crystal.operations import Operations, operations_of, parse_operations
from crystalformer_rl.crystal.orbits import Expanded, expand
from crystalformer_rl.crystal.physical import PartlyOccupiedError, UnphysicalError, physical_cell
from crystalformer_rl.crystal.plain_cif import plain_cell
from crystalformer_rl.crystal.space_groups import Declared
from crystalformer_rl.crystal.star import Block, read_blocks
from crystalformer_rl.crystal.symmetry import standardise_moyo

ReadError = Literal["unreadable", "disordered", "not_physical", "left_out"]
# Å. A tenth of the shortest bonds, and more than two digits (0.33) miss a special position by.
MERGE_BELOW = 0.1
_OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_MAGNETIC = ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz")
_SYMBOL = (
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_alt",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m",
)
_HALL = ("_symmetry_space_group_name_hall", "_space_group_name_hall")
_INT_TABLES = ("_symmetry_int_tables_number", "_space_group_it_number")
# Å: tolerances at which the symmetry of a structure is compared with a declared space group.
_SYMPRECS = (0.01, 0.1)


@dataclass(frozen=True)
class CifCrystal:
    """One block of a CIF.

    Attributes
    ----------
    name
        Of the block.
    cell
        The crystal, in the cell that it is given in; None if it cannot be read.
    error, reason
        What went wrong, and its kind; None when there is a crystal.
    merged
        Atoms that were merged with others, because a special position is rounded in the CIF.
    """

    name: str
    cell: Cell | None
    error: str | None = None
    reason: ReadError | None = None
    merged: int = 0

    @cached_property
    def structure(self) -> Structure | None:
        """The crystal as a pymatgen structure, which takes about half as long as the reading."""
        return None if self.cell is None else self.cell.structure()


def crystals_of_cif(text: str, *, merge_below: float = MERGE_BELOW) -> Iterator[CifCrystal]:
    """The crystals of a CIF, at least one.

    Parameters
    ----------
    merge_below
        Images of a site closer than this, Å, are one atom.
    """
    try:
        cell = plain_cell(text)
        blocks = [] if cell is not None else _blocks(text)
    except UnphysicalError as error:
        yield CifCrystal("", None, str(error), "not_physical")
        return
    except ValueError as error:
        yield CifCrystal("", None, str(error), "unreadable")
        return
    if cell is not None:
        yield CifCrystal("", cell)
    for block in blocks:
        try:
            structure, merged = _crystal(block, merge_below)
        except (PartlyOccupiedError, UnphysicalError) as error:
            yield CifCrystal(block.name, None, str(error), error.reason)
        except ValueError as error:
            yield CifCrystal(block.name, None, str(error), "unreadable")
        else:
            yield CifCrystal(block.name, Cell.of(structure), merged=merged)


def _blocks(text: str) -> list[Block]:
    if not text.strip():
        raise ValueError("the CIF is empty")
    blocks = [block for block in read_blocks(text) if block.describes_a_crystal or block.error]
    if not blocks:
        raise ValueError("no block of the CIF has a cell or atoms")
    return blocks


def structure_from_cif(text: str, *, merge_below: float = MERGE_BELOW) -> Structure:
    """The structure of a CIF with one crystal, in the cell that it is given in.

    Raises
    ------
    ValueError
        If it cannot be read or has several; the message says why.
    """
    crystal = one_crystal(text, merge_below=merge_below)
    if crystal.structure is None:
        raise ValueError(crystal.error)
    return crystal.structure


def one_crystal(text: str, *, merge_below: float = MERGE_BELOW) -> CifCrystal:
    """The crystal of a CIF that may have only one; several are an unreadable one."""
    crystals = list(crystals_of_cif(text, merge_below=merge_below))
    if len(crystals) == 1:
        return crystals[0]
    names = ", ".join(one.name for one in crystals[:3])
    error = f"the CIF has {len(crystals)} crystals ({names}, …), and one is needed here"
    return CifCrystal("", None, error, "unreadable")


def _crystal(block: Block, merge_below: float) -> tuple[Structure, int]:
    if block.error is not None:
        raise ValueError(block.error)
    sites = sites_of(block)
    declared = Declared(
        symbols=block.all(*_SYMBOL),
        numbers=block.all(*_INT_TABLES),
        halls=block.all(*_HALL),
        choice=block.first("_space_group_it_coordinate_system_code"),
    )
    listed = _listed_operations(block)
    if listed is None:
        return _expand_declared(block, sites, declared, merge_below)
    if not listed.fit(sites.lattice.matrix):
        raise ValueError("the symmetry operations do not fit the cell: are the axes others?")
    structure, merged = _expand(block, sites, listed, merge_below)
    if _MAGNETIC[0] not in block.values:
        _refuse_other_group(structure, listed, declared)
    return structure, merged


def _listed_operations(block: Block) -> Operations | None:
    lists = [parse_operations(block.values[tag]) for tag in _OPERATIONS if tag in block.values]
    if len({len(operations) for operations in lists}) > 1:
        raise ValueError(
            f"{' and '.join(_OPERATIONS)} list {' and '.join(str(len(one)) for one in lists)} "
            "symmetry operations: which are right?"
        )
    if lists:
        return lists[0]
    if _MAGNETIC[0] in block.values:
        centring = block.values.get(_MAGNETIC[1], [])
        return parse_operations(block.values[_MAGNETIC[0]], centring=centring)
    return None


def _expand(
    block: Block, sites: Sites, operations: Operations, merge_below: float
) -> tuple[Structure, int]:
    """The whole crystal, if it has the contents that the block declares."""
    formula = block.first("_chemical_formula_sum")
    found: Expanded = expand(
        sites,
        operations,
        merge_below=merge_below,
        merge_sites=len(operations) > 1 or formula is not None,
    )
    units, volume = block.first("_cell_formula_units_z"), block.first("_cell_volume")
    refuse_other_contents(
        found.symbols,
        sites.lattice.volume,
        formula=formula,
        units=None if units is None else number_of(units, "_cell_formula_units_Z"),
        declared_volume=None if volume is None else number_of(volume, "_cell_volume"),
    )
    structure = Structure(sites.lattice, found.symbols, found.positions)
    physical_cell(structure)
    return structure, found.merged


def _expand_declared(
    block: Block, sites: Sites, declared: Declared, merge_below: float
) -> tuple[Structure, int]:
    """The crystal of a block that names a space group and lists no operations.

    The setting may be open: then the cell, the formula and the distances have to decide it.
    """
    settings = declared.settings()
    if not settings:
        raise ValueError("the CIF has no symmetry operations and names no space group")
    fitting = [one for one in settings if operations_of(one.hall_number).fit(sites.lattice.matrix)]
    # A short monoclinic symbol means unique axis b, if the cell allows it.
    fitting = [one for one in fitting if one.standard or "b" in one.choice] or fitting
    if not fitting:
        raise ValueError(f"no setting of the declared space group fits the cell: {declared}")
    crystals, problem = [], None
    for one in fitting:
        try:
            operations = operations_of(one.hall_number)
            crystals.append((one, *_expand(block, sites, operations, merge_below)))
        except ValueError as error:
            problem = error
    if not crystals:
        assert problem is not None
        raise problem
    first = crystals[0][1]
    same = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=0.5, scale=False)
    if any(not same.fit(first, other) for _, other, _ in crystals[1:]):
        choices = ", ".join(one.choice for one, _, _ in crystals)
        raise ValueError(
            f"the space group {declared} has several settings ({choices}), which give different "
            "crystals: name the setting, or list the symmetry operations"
        )
    return first, crystals[0][2]


def _refuse_other_group(structure: Structure, listed: Operations, declared: Declared) -> None:
    """Raise unless the crystal has the symmetry of the declared space group."""
    settings = declared.settings(any_symbol=True)
    groups = {one.space_group for one in settings}
    found = listed.space_group
    if not groups and len(listed) == 1 and any(not _is_p1(name) for name in declared.symbols):
        raise ValueError(
            f"the space group {declared} is unknown, and of its symmetry operations only the "
            "identity is listed: are the others cut off?"
        )
    if not groups or found in groups:
        return
    # All atoms may be listed, with fewer operations than the crystal has.
    order = max(len(operations_of(one.hall_number)) for one in settings)
    if found is None or len(listed) <= order:
        if any(_maps_onto_itself(structure, operations_of(one.hall_number)) for one in settings):
            return
        if groups & _groups_of(structure):
            return
    raise ValueError(
        f"the CIF declares the space group {declared}, its symmetry operations are those of group "
        f"{found}"
    )


def _is_p1(symbol: str) -> bool:
    """Whether a symbol, perhaps unknown, is of a group without rotations: ``F 1``, ``P1 (1)``."""
    return re.match(r"\s*[A-Z]\s*1\s*($|[^\s\d/-])", symbol) is not None


def _maps_onto_itself(structure: Structure, operations: Operations) -> bool:
    if not operations.fit(structure.lattice.matrix):
        return False
    cell = Cell.of(structure)
    for number in np.unique(cell.numbers):
        atoms = cell.positions[cell.numbers == number]
        images = np.concatenate([operations.images(atom) for atom in atoms])
        offset = images[:, None] - atoms[None]
        offset -= np.round(offset)
        distances = np.linalg.norm(offset @ cell.matrix, axis=2)
        if (distances.min(axis=1) > _SYMPRECS[-1]).any():
            return False
    return True


def _groups_of(structure: Structure) -> set[int]:
    found = set()
    for symprec in _SYMPRECS:
        try:
            found.add(standardise_moyo(Cell.of(structure), symprec=symprec).space_group)
        except ValueError:
            continue
    return found
