"""Structures in tables: three list columns per structure, null where there is none."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

COLUMNS = ("lattice", "numbers", "positions")


def structure_columns(
    structures: Sequence[Structure | None], *, prefix: str = ""
) -> dict[str, list[list[float] | list[int] | None]]:
    """Columns ``lattice`` (9 floats, rows in Å), ``numbers`` (n), ``positions`` (3n fractional).

    Raises
    ------
    ValueError
        If a structure is disordered: a site has no single atomic number.
    """
    columns: dict[str, list[list[float] | list[int] | None]] = {prefix + n: [] for n in COLUMNS}
    for place, structure in enumerate(structures):
        values: tuple[list[float] | list[int] | None, ...] = (None, None, None)
        if structure is not None:
            if not structure.is_ordered:
                raise ValueError(f"structure {place} ({structure.formula}) is disordered")
            values = (
                structure.lattice.matrix.ravel().tolist(),
                [int(number) for number in structure.atomic_numbers],
                structure.frac_coords.ravel().tolist(),
            )
        for name, value in zip(COLUMNS, values, strict=True):
            columns[prefix + name].append(value)
    return columns


def structures_of(table: pd.DataFrame, *, prefix: str = "") -> list[Structure | None]:
    """The structures of a table, None where its columns are null.

    Raises
    ------
    ValueError
        If a column is missing, or the numbers of a row do not fit together.
    """
    names = [prefix + name for name in COLUMNS]
    if missing := [name for name in names if name not in table.columns]:
        raise ValueError(
            f"structure columns {missing} are missing; the table has {list(table.columns)}"
        )
    rows = zip(*(table[name] for name in names), strict=True)
    return [_structure(place, *row) for place, row in enumerate(rows)]


def _structure(place: int, lattice: Any, numbers: Any, positions: Any) -> Structure | None:
    if _is_null(lattice) or _is_null(numbers) or _is_null(positions):
        return None
    if len(lattice) != 9 or len(positions) != 3 * len(numbers):
        raise ValueError(
            f"row {place}: lattice has {len(lattice)} numbers (must be 9), positions "
            f"{len(positions)} (must be 3 × {len(numbers)} atoms)"
        )
    return Structure(
        Lattice(np.array(lattice, dtype=float).reshape(3, 3)),
        [int(number) for number in numbers],
        np.array(positions, dtype=float).reshape(-1, 3),
    )


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
