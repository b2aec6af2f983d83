"""The table of structures, to be sorted and filtered."""

from typing import Any

import numpy as np
import pandas as pd

from crystalformer_rl.evaluation.columns import BY_NAME, Column
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import MISSING, Section, formula, number
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections.space_groups import group_label
from crystalformer_rl.report.values import flag, numbers

LISTED = 300
FLAGS = {"S": "stable", "U": "unique", "N": "novel"}
NUMBERS = (
    "num_atoms", "e_above_hull_initial", "e_above_hull", "band_gap", "dielectric",
    "figure_of_merit",
)  # fmt: skip
NAMES = ("id", "formula", "space_group", *NUMBERS, "matched_id")


def section(run: Run) -> Section:
    """S.U.N. structures first, then stable ones, then by energy."""
    energy = numbers(run.table, "e_above_hull")
    sun, stable = flag(run.table, "sun"), flag(run.table, "stable")
    order = np.lexsort((np.where(np.isfinite(energy), energy, np.inf), ~stable, ~sun))[:LISTED]
    rows = [_row(record) for record in run.table.iloc[order].to_dict("records")]
    body = markup.table(
        [*(markup.heading(name) for name in NAMES), "S U N"],
        rows,
        kind="sortable",
        caption=f"{len(rows)} of {len(run.table)} structures, S.U.N. first, then stable, then by "
        "energy. Click a heading to sort. The whole table is structures.parquet of the evaluation.",
    )
    return Section("structures", "Structures", body)


def cell(row: dict[Any, Any], name: str) -> str:
    """A value of the table of structures as the page shows it; a dash where there is none."""
    value = row.get(name)
    if pd.isna(value):
        return MISSING
    if name == "formula":
        return formula(str(value))
    if name == "space_group":
        return group_label(int(value))
    column = BY_NAME[name]
    if isinstance(column, Column) and column.type in ("number", "integer"):
        return number(float(value), column.digits)
    return str(value)


def _row(row: dict[Any, Any]) -> list[str]:
    flags = "".join(
        letter if pd.notna(row.get(name)) and row[name] else "·" for letter, name in FLAGS.items()
    )
    return [*(cell(row, name) for name in NAMES), flags]
