"""All structures of a run for the browser: columns as JSON, and the crystals that can be turned."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from ase.data import covalent_radii
from numpy.typing import NDArray
from pymatgen.core import Element

from crystalformer_rl.crystal.structures import COLUMNS as OF_STRUCTURE
from crystalformer_rl.crystal.structures import readable_structures
from crystalformer_rl.evaluation.columns import BY_NAME, Column, title_of
from crystalformer_rl.report import crystals
from crystalformer_rl.report.geometry import STEPS, geometry
from crystalformer_rl.report.neighbours import neighbours
from crystalformer_rl.report.values import flag, numbers, text

TURNED = 3000
"""Crystals whose atoms are in the page; those of the first rows."""
FLAGS = (
    "sun", "stable", "unique", "novel", "supported", "valid", "judge_stable", "sun_judge",
)  # fmt: skip
LISTED = (
    "id", "policy", "formula", "space_group", "num_atoms", "e_above_hull_initial", "e_above_hull",
    "judge_e_above_hull", "band_gap", "dielectric", "figure_of_merit",
)  # fmt: skip
"""Columns of the table on the page."""
DETAILS = (
    "relaxed_space_group", "matched_id", "potential", "energy_final", "judge_potential",
    "judge_energy", "band_gap_std", "dielectric_std", "rmsd", "nearest_known",
    "nearest_known_id", "failure",
)  # fmt: skip
"""Further columns of a single structure."""


def encoded(
    table: pd.DataFrame,
    colours: Mapping[str, str],
    groups: Mapping[int, str],
    known: pd.DataFrame | None = None,
) -> bytes:
    """The rows of the table in their order, as JSON; crystal.js and table.js read it.

    Parameters
    ----------
    table
        The table of structures. Columns may be missing.
    colours
        The colour of each policy.
    groups
        The label of each space group.
    known
        Rows of the dataset, among which each structure's match or nearest crystal is looked up.
    """
    names = [name for name in (*LISTED, *DETAILS) if name in table]
    flags = [name for name in FLAGS if name in table]
    turned = _turned(table.head(TURNED))
    beside = neighbours(table.head(TURNED), known)
    content = {
        "rows": len(table),
        "columns": [_column(table, name) for name in names],
        "flags": [_description(name) for name in flags],
        "passed": _passed(table, flags).tolist(),
        "crystals": turned,
        **beside,
        "steps": STEPS,
        "elements": _elements([*turned, *beside["known"]]),
        "colours": dict(colours),
        "groups": {str(number): label for number, label in groups.items()},
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _column(table: pd.DataFrame, name: str) -> dict[str, Any]:
    column = BY_NAME[name]
    about = _description(name) | {"listed": name in LISTED}
    if not isinstance(column, Column) or column.type == "text":
        return about | {"kind": "text", **_words(text(table, name))}
    values = numbers(table, name)
    known = np.isfinite(values)
    if column.type == "integer":
        whole = [
            int(value) if is_known else None for value, is_known in zip(values, known, strict=True)
        ]
        kind = "group" if name.endswith("space_group") else "number"
        return about | {"kind": kind, "digits": 0, "values": whole}
    rounded = np.round(values, column.digits).tolist()
    found = [value if is_known else None for value, is_known in zip(rounded, known, strict=True)]
    return about | {"kind": "number", "digits": column.digits, "values": found}


def _words(values: Sequence[str | None]) -> dict[str, Any]:
    """Texts as they are, or, where most repeat, as the distinct ones and their places."""
    distinct = list(dict.fromkeys(values))
    if 2 * len(distinct) > len(values):
        return {"values": list(values)}
    places = {value: place for place, value in enumerate(distinct)}
    return {"words": distinct, "values": [places[value] for value in values]}


def _description(name: str) -> dict[str, Any]:
    column = BY_NAME[name]
    unit = column.unit if isinstance(column, Column) else ""
    return {"name": name, "title": title_of(name), "unit": unit, "meaning": column.meaning}


def _passed(table: pd.DataFrame, flags: Sequence[str]) -> NDArray[np.int64]:
    """(n,) the flags of each row as the bits of one number."""
    bits = np.zeros(len(table), dtype=np.int64)
    for place, name in enumerate(flags):
        bits |= flag(table, name).astype(np.int64) << place
    return bits


def _turned(table: pd.DataFrame) -> list[dict[str, Any] | None]:
    """The relaxed crystal of each row, else the generated one; null where there is none."""
    found: list[Any] = [None] * len(table)
    for prefix in ("", "relaxed_"):
        if all(prefix + name in table for name in OF_STRUCTURE):
            structures, _ = readable_structures(table, prefix=prefix)
            found = [new or old for new, old in zip(structures, found, strict=True)]
    return [structure and geometry(structure) for structure in found]


def _elements(turned: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Elements for the viewer: symbol, colour, covalent radius (Å), metal or not."""
    present = sorted({number for one in turned if one for number in one["atoms"][::4]})
    return {
        str(number): {
            "symbol": Element.from_Z(number).symbol,
            "colour": crystals.colour(number),
            "radius": round(float(covalent_radii[number]), 3),
            "metal": bool(Element.from_Z(number).is_metal),
        }
        for number in present
    }
