"""Structures in tables: three list columns per structure, null where there is none.

We write nine numbers of a lattice, and also read six, as in a CIF.
"""

import ast
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.cif_sites import exact_thirds, lattice_of
from crystalformer_rl.crystal.physical import refuse_unknown_elements

COLUMNS = ("lattice", "numbers", "positions")
Columns = dict[str, list[list[float] | list[int] | None]]
SPLITS = ("train", "val", "test")
REJECTED_COLUMNS = ("id", "split", "reason", "detail")
"""Columns of the table of rejected crystals, of ``dataset`` and of ``tokenize``."""


def structure_columns(structures: Sequence[Structure | None], *, prefix: str = "") -> Columns:
    """Columns ``lattice`` (9 floats, rows in Å), ``numbers`` (n), ``positions`` (3n fractional).

    Raises
    ------
    ValueError
        If a structure is disordered: a site has no single atomic number.
    """
    cells: list[Cell | None] = []
    for place, structure in enumerate(structures):
        if structure is not None and not structure.is_ordered:
            raise ValueError(f"structure {place} ({structure.formula}) is disordered")
        cells.append(None if structure is None else Cell.of(structure))
    return cell_columns(cells, prefix=prefix)


def cell_columns(cells: Sequence[Cell | None], *, prefix: str = "") -> Columns:
    """The columns of :func:`structure_columns`, of crystals as arrays."""
    columns: Columns = {prefix + name: [] for name in COLUMNS}
    for cell in cells:
        values = (None, None, None) if cell is None else values_of(cell)
        for name, value in zip(COLUMNS, values, strict=True):
            columns[prefix + name].append(None if value is None else value.tolist())
    return columns


def values_of(cell: Cell) -> tuple[NDArray[Any], ...]:
    """The values of a crystal in the columns ``COLUMNS``."""
    return cell.matrix.ravel(), cell.numbers, cell.positions.ravel()


def structures_of(table: pd.DataFrame, *, prefix: str = "") -> list[Structure | None]:
    """The structures of a table, None where its columns are null.

    Raises
    ------
    ValueError
        If a column is missing, or the numbers of a row do not fit together.
    """
    return [None if cell is None else cell.structure() for cell in cells_of(table, prefix=prefix)]


def cells_of(table: pd.DataFrame, *, prefix: str = "") -> list[Cell | None]:
    """The same as :func:`structures_of`, as arrays."""
    cells, faults = readable_cells(table, prefix=prefix)
    for place, error in faults.items():
        raise ValueError(f"row {place}: {error}")
    return cells


def readable_structures(
    table: pd.DataFrame, *, prefix: str = ""
) -> tuple[list[Structure | None], dict[int, str]]:
    """The structures of a table, and what is wrong with rows that cannot be read, by row.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    crystals, faults = readable_cells(table, prefix=prefix)
    return [None if cell is None else cell.structure() for cell in crystals], faults


def readable_cells(
    table: pd.DataFrame, *, prefix: str = ""
) -> tuple[list[Cell | None], dict[int, str]]:
    """The same as :func:`readable_structures`, as arrays."""
    names = [prefix + name for name in COLUMNS]
    if missing := [name for name in names if name not in table.columns]:
        raise ValueError(
            f"structure columns {missing} are missing; the table has {list(table.columns)}"
        )
    crystals: list[Cell | None] = []
    faults = {}
    for place, row in enumerate(zip(*(table[name] for name in names), strict=True)):
        try:
            crystals.append(cell_of(*row))
        except ValueError as error:
            crystals.append(None)
            faults[place] = str(error)
    return crystals, faults


def cell_of(lattice: Any, numbers: Any, positions: Any) -> Cell | None:
    """The crystal of one row of a table, None where its columns are null.

    Parameters
    ----------
    lattice
        Nine numbers, rows of the cell in Å; or six, a, b, c (Å), α, β and γ (degrees). Six are
        rounded as in a CIF, and so are the positions, whose thirds become exact.
    numbers
        (n,) atomic numbers.
    positions
        3n fractional coordinates.

    Raises
    ------
    ValueError
        If the numbers do not fit together, or an atomic number is unknown.
    """
    if _is_null(lattice) or _is_null(numbers) or _is_null(positions):
        return None
    matrix, atoms, places = _flat(lattice), _flat(numbers), _flat(positions)
    if len(matrix) not in (6, 9) or len(places) != 3 * len(atoms):
        raise ValueError(
            f"lattice has {len(matrix)} numbers (must be 9 or 6), positions {len(places)} (must "
            f"be 3 × {len(atoms)} atoms)"
        )
    refuse_unknown_elements(atoms)
    species, sites = atoms.astype(np.int64), places.reshape(-1, 3)
    if len(matrix) == 6:
        return Cell(lattice_of(matrix.tolist()).matrix, species, exact_thirds(sites))
    return Cell(matrix.reshape(3, 3), species, sites)


def structure_of_json(text: str) -> Structure:
    """The structure of pymatgen's JSON, or of the same dictionary as Python prints it.

    pandas prints the dictionaries of a table so; the published Alex-20 is such a table.

    Raises
    ------
    ValueError
        If the text is damaged or has no structure, or an element is unknown.
    """
    try:
        record = ast.literal_eval(text) if text.startswith("{'") else json.loads(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"not a structure of pymatgen: {type(error).__name__}: {error}") from error
    return structure_of_record(record)


def structure_of_record(record: Any) -> Structure:
    """The structure of pymatgen's dictionary (``Structure.as_dict``): lattice, elements, positions.

    Nothing else is read. pymatgen's own decoder would import the classes that the record names.

    Raises
    ------
    ValueError
        If the record has no structure, or an element is unknown.
    """
    try:
        matrix = np.array(record["lattice"]["matrix"], dtype=float).reshape(3, 3)
        species = [
            {Element(one["element"]): float(one["occu"]) for one in site["species"]}
            for site in record["sites"]
        ]
        positions = [[float(number) for number in site["abc"]] for site in record["sites"]]
        return Structure(Lattice(matrix), species, positions)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"not a structure of pymatgen: {type(error).__name__}: {error}") from error


def _flat(values: Any) -> NDArray[np.float64]:
    """Numbers in one row, also of a list of lists."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.ravel().astype(float, copy=False)
    try:
        if len(values) and isinstance(values[0], list | tuple | np.ndarray):
            values = np.concatenate([np.asarray(row) for row in values])
        numbers = np.asarray(values, dtype=float)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(values)[:60]}: not a list of numbers") from error
    if np.asarray(values).dtype == bool:
        raise ValueError(f"{str(values)[:60]}: true and false are not numbers")
    return numbers


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
