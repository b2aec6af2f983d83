"""Discoveries during RL fine-tuning, from the crystals of all its steps."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import Canvas, canvas
from crystalformer_rl.report.values import flag, numbers

NEEDED = ("step", "formula", "space_group", "valid", "e_above_hull")
"""Columns of ``crystals.parquet`` that are read; the last only where the reward records it."""
PANELS = {
    "kinds": "distinct so far",
    "low": "and below the threshold",
    "later_sun": "S.U.N. structures met before",
}


def section(run: Run) -> Section | None:
    """The curves of all branches; None where no branch has kept its crystals."""
    if not run.crystals:
        return None
    found = discovery_table(run)
    drawing = draw(found, run.colours)
    body = markup.picture(
        "discovery",
        drawing,
        label="Distinct formulas in space groups found so far, against step, per branch",
        caption="Of the crystals sampled up to a step of RL fine-tuning: distinct pairs of formula "
        "and space group that could be rewarded; those of them with an unrelaxed energy above hull "
        f"below {run.threshold:g} eV/atom, where the reward records it; and how many of the S.U.N. "
        "structures of the finished policy, by formula and space group, had been sampled by then. "
        "A curve that flattens has run out of new crystals; one that ends far below the S.U.N. "
        "count shows that the finished policy still finds new ones.",
    )
    return Section(
        "discovery", "Discoveries during training", body, figures={"discovery": drawing},
        tables={"discovery": found},
    )  # fmt: skip


def discovery_table(run: Run) -> pd.DataFrame:
    """Per branch and step: crystals sampled, and the counts of :data:`PANELS`, all so far."""
    parts = []
    for branch, crystals in run.crystals.items():
        final = run.table[(run.table["policy"] == branch) & flag(run.table, "sun")]
        parts.append(_course(crystals, _kinds(final), run.threshold).assign(branch=branch))
    columns = ["branch", "step", "sampled", *PANELS]
    return pd.concat(parts, ignore_index=True)[columns]


def draw(found: pd.DataFrame, colours: Mapping[str, str]) -> Canvas:
    """A panel per count, a curve per branch."""
    with canvas(columns=len(PANELS), height=2.6) as drawing:
        for axis, (name, title) in zip(drawing.axes, PANELS.items(), strict=True):
            for branch, rows in found.groupby("branch", sort=False):
                known = rows[rows[name].notna()]
                axis.step(
                    known["step"], known[name].astype(float), where="post", label=branch,
                    color=colours[str(branch)],
                )  # fmt: skip
            axis.set_title(title, fontsize=8.5)
            axis.set_xlabel("step")
            axis.set_ylim(bottom=0)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            axis.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            axis.grid(axis="y")
        drawing.axes[0].legend(loc="best")
    return drawing


def _course(crystals: pd.DataFrame, final: set[tuple[str, int]], threshold: float) -> pd.DataFrame:
    """The counts after each step of a branch."""
    crystals = crystals.sort_values("step", kind="stable")
    step = crystals["step"].to_numpy()
    steps, sampled = np.unique(step, return_counts=True)
    kinds = pd.Series(_pairs(crystals), index=crystals.index)
    energy = numbers(crystals, "e_above_hull")
    chosen = {
        "kinds": flag(crystals, "valid"),
        "low": np.isfinite(energy) & (energy < threshold),
        "later_sun": kinds.isin(final).to_numpy(),
    }
    columns = {
        name: np.searchsorted(step[mask][~kinds[mask].duplicated().to_numpy()], steps, "right")
        for name, mask in chosen.items()
    }
    found = pd.DataFrame({"step": steps, "sampled": sampled.cumsum(), **columns}).astype("Int64")
    return (
        found
        if np.isfinite(energy).any()
        else found.assign(low=pd.array([None] * len(found), dtype="Int64"))
    )


def _pairs(table: pd.DataFrame) -> list[tuple[str, int]]:
    return list(zip(table["formula"], table["space_group"].astype(int), strict=True))


def _kinds(table: pd.DataFrame) -> set[tuple[str, int]]:
    return set(_pairs(table[table["space_group"].notna()]))
