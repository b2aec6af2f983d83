"""Properties of crystals that do not depend on their source.

The known crystals are described once, the generated ones after relaxation, by the same functions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.structures import cells_of
from crystalformer_rl.crystal.symmetry import space_group
from crystalformer_rl.evaluation.amd import amd_table, nearest

# Å. The Materials Project's; a relaxation ends some hundredths of an Å from the minimum.
SYMPREC = 0.1


def describe(table: pd.DataFrame) -> pd.DataFrame:
    """Columns ``id``, ``density`` (g/cm³), ``num_elements``, ``space_group`` and ``amd`` (Å).

    Parameters
    ----------
    table
        ``id`` and the columns of a structure, none of them null.
    """
    cells = [cell for cell in cells_of(table) if cell is not None]
    return pd.DataFrame(
        {
            "id": table["id"].to_numpy(),
            "density": np.array([cell.density for cell in cells]),
            "num_elements": np.array([len(set(cell.numbers.tolist())) for cell in cells], np.int64),
            "space_group": space_groups(cells),
            "amd": list(amd_table(cells)),
        }
    )


def space_groups(cells: Sequence[Cell | None]) -> Any:
    """Space groups found within :data:`SYMPREC`; null without a crystal or a symmetry."""
    found = [None if cell is None else space_group(cell, symprec=SYMPREC) for cell in cells]
    return pd.array(found, dtype="Int64")


def symmetry_columns(relaxed: Sequence[Cell | None], asked: pd.Series) -> dict[str, Any]:
    """Space group after relaxation, whether it is the ``asked`` one, and whether it is P 1."""
    found = space_groups(relaxed)
    same = found == asked.astype("Int64").array
    return {
        "relaxed_space_group": found,
        "space_group_kept": same.to_numpy(dtype=bool, na_value=False),
        "relaxed_p1": (found == 1).to_numpy(dtype=bool, na_value=False),
    }


def nearest_columns(relaxed: Sequence[Cell | None], known: pd.DataFrame) -> dict[str, Any]:
    """AMD distance to the nearest known crystal, Å, and its id; null where not relaxed.

    ``known`` is a table of :func:`describe`.
    """
    table = np.array(known["amd"].tolist(), dtype=np.float32).reshape(len(known), -1)
    distance, row = nearest(amd_table(relaxed), table)
    ids = known["id"].to_numpy()
    return {
        "nearest_known": distance,
        "nearest_known_id": [ids[r] if r >= 0 else None for r in row],
    }
