"""The disagreement of the members of the property models, tested on held-out rows."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from crystalformer_rl.evaluation.intervals import fraction
from crystalformer_rl.properties.record import HeldOut, held_out
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section, number
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import FAINT, INK, MANY_POINTS, Canvas, canvas, percent_axis
from crystalformer_rl.report.values import Share, flag, numbers

NOMINAL = 0.683
"""Fraction within one standard deviation of a normal distribution."""
MODELS = {"band_gap": "band gap", "dielectric": "dielectric constant"}


def section(run: Run) -> Section | None:
    """Standard deviations and their coverage; None where no structure has a prediction."""
    spreads = spread_table(run.table)
    if spreads.empty:
        return None
    records = {name: held_out(name) for name in MODELS}
    drawing = draw(spreads, records, run.colours)
    picture = markup.picture(
        "uncertainty",
        drawing,
        label="Standard deviation of the predictions against the predictions, and its coverage",
        caption="Standard deviation of each prediction against the prediction, in the colour of "
        "the policy: dots are not stable, rings stable, stars S.U.N. Above the dashed line the "
        "deviation is larger than the value. The deviation of the figure of merit follows from "
        "the other two, as if their errors were independent. Last panel: the fraction of held-out "
        "rows that are within one deviation of the prediction, with 95 % interval; the dashed line "
        "is the 68.3 % intended.",
    )
    rows = [
        [
            MODELS[name], f"{one.rows:,}", markup.counted(_coverage(one)), number(one.mae),
            number(one.rank, 2), number(one.std_scale, 2),
        ]
        for name, one in records.items()
    ]  # fmt: skip
    table = markup.table(
        ["model", "test rows", "within one deviation", "mean absolute error (eV; 1)",
         "rank correlation of deviation and error", "factor"],
        rows,
        caption="The deviation is the disagreement of the eight members of an ensemble, each "
        "trained on its own bootstrap sample, times a factor that was fitted on validation rows. "
        "It ranks predictions by their likely error. It does not include errors that all "
        "members share: those of PBE gaps compared with experiment, or of features that look alike "
        "for different crystals. The held-out rows are relaxed crystals of the Materials Project; "
        "for generated crystals unlike them the deviation is only a hint. Most held-out rows of "
        "the band gap are metals, which raises its coverage; docs/explanation/properties.md gives "
        "it without them.",
    )  # fmt: skip
    return Section(
        "uncertainty", "Uncertainty of the predictions", picture + table,
        figures={"uncertainty": drawing}, tables={"uncertainty": spreads},
    )  # fmt: skip


def spread_table(table: pd.DataFrame) -> pd.DataFrame:
    """The structures with a prediction: values, deviations, and that of the figure of merit."""
    gap, constant = numbers(table, "band_gap"), numbers(table, "dielectric")
    gap_std, constant_std = numbers(table, "band_gap_std"), numbers(table, "dielectric_std")
    spreads = table[["id", "policy"]].assign(
        stable=flag(table, "stable"), sun=flag(table, "sun"), band_gap=gap, band_gap_std=gap_std,
        dielectric=constant, dielectric_std=constant_std,
        figure_of_merit=numbers(table, "figure_of_merit"),
        figure_of_merit_std=np.hypot(constant * gap_std, gap * constant_std),
    )  # fmt: skip
    known = np.isfinite(gap_std) | np.isfinite(constant_std)
    return spreads[known].reset_index(drop=True)


def draw(
    spreads: pd.DataFrame, records: Mapping[str, HeldOut], colours: Mapping[str, str]
) -> Canvas:
    """A panel per property, and the coverage of the held-out rows."""
    titles = {
        "band_gap": "band gap (eV)", "dielectric": "dielectric constant",
        "figure_of_merit": "figure of merit (eV)",
    }  # fmt: skip
    with canvas(rows=2, columns=2, height=5.4) as drawing:
        for axis, (name, title) in zip(drawing.axes, titles.items(), strict=False):
            _scatter(axis, spreads, name, colours)
            axis.set_xlabel(title)
            axis.set_ylabel("standard deviation")
        _draw_coverage(drawing.axes[-1], records)
    return drawing


def _scatter(axis: Axes, spreads: pd.DataFrame, name: str, colours: Mapping[str, str]) -> None:
    value, std = numbers(spreads, name), numbers(spreads, f"{name}_std")
    sun, stable = flag(spreads, "sun"), flag(spreads, "stable")
    known = np.isfinite(value) & np.isfinite(std)
    for policy in spreads["policy"].unique():
        own: NDArray[np.bool_] = known & (spreads["policy"] == policy).to_numpy()
        tone = colours[policy]
        for mask, mark, size, face, edge in (
            (own & ~stable, ".", 14, tone, "none"),
            (own & stable & ~sun, "o", 20, "none", tone),
            (own & sun, "*", 50, tone, INK),
        ):
            axis.scatter(
                value[mask], std[mask], s=size, marker=mark, facecolors=face, edgecolors=edge,
                linewidths={".": 0.0, "o": 0.9, "*": 0.4}[mark], alpha=0.5 if mark == "." else 1,
                rasterized=bool(known.sum() > MANY_POINTS), label=policy if mark == "*" else None,
            )  # fmt: skip
    right, top = (max(0.1, float(one[known].max(initial=0.0))) for one in (value, std))
    axis.plot([0, min(right, top)], [0, min(right, top)], color=FAINT, lw=0.8, ls=(0, (3, 2)))
    axis.set_xlim(0, 1.05 * right)
    axis.set_ylim(0, 1.08 * top)
    axis.grid(axis="y")
    if name == "band_gap":
        axis.legend(loc="best")


def _coverage(record: HeldOut) -> Share:
    return Share.of(fraction(record.within, record.rows))


def _draw_coverage(axis: Axes, records: Mapping[str, HeldOut]) -> None:
    for place, record in enumerate(records.values()):
        found = _coverage(record)
        axis.plot([place, place], [found.low, found.high], color=INK, lw=2.2)
        axis.plot(place, found.fraction, "o", color=INK, ms=6)
    axis.axhline(NOMINAL, color=FAINT, lw=0.9, ls=(0, (3, 2)))
    axis.set_xticks(
        range(len(records)), [f"{MODELS[name]}\n{one.rows:,} rows" for name, one in records.items()]
    )
    axis.set_xlim(-0.6, len(records) - 0.4)
    axis.set_ylim(0, 1)
    percent_axis(axis)
    axis.set_title("held out, within one deviation")
    axis.grid(axis="y")
