"""The table of all structures, to be searched, filtered and sorted, and each of them in 3D."""

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from crystalformer_rl.crystal.wyckoff import NUM_GROUPS
from crystalformer_rl.evaluation.columns import BY_NAME, Column
from crystalformer_rl.report import browser, markup
from crystalformer_rl.report.block import TURNED, encoded
from crystalformer_rl.report.markup import MISSING, Section, formula, number
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections.space_groups import group_label
from crystalformer_rl.report.values import flag, numbers


def section(run: Run) -> Section:
    """S.U.N. structures first, then stable ones, then by energy."""
    table = ordered(run.table)
    groups = {number: group_label(number) for number in range(1, NUM_GROUPS + 1)}
    data = browser.packed("structures-data", encoded(table, run.colours, groups, run.known))
    more = "" if len(table) <= TURNED else f" The first {TURNED:,} can be turned."
    body = Markup("<p>{}</p>").format(
        "All structures that were sampled, failures included: S.U.N. first, then stable, then by "
        "energy. Click a heading to sort. Click a row to see the crystal together with the known "
        "one that it matches, or else the nearest one, its Wyckoff positions and its energies by "
        f"both potentials.{more} All columns are in structures.parquet of the evaluation."
    )
    return Section("structures", "Structures", body + markup.piece("structures", data))


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of the page: S.U.N., then stable ones, then by energy above hull."""
    energy = numbers(table, "e_above_hull")
    sun, stable = flag(table, "sun"), flag(table, "stable")
    order = np.lexsort((np.where(np.isfinite(energy), energy, np.inf), ~stable, ~sun))
    return table.iloc[order]


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
