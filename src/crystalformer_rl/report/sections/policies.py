"""The policies: their fractions, their means, and the funnel from sampled to S.U.N."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from crystalformer_rl.evaluation.columns import COLUMNS, COMBINED
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import Canvas, canvas
from crystalformer_rl.report.values import by_policy, flag, numbers

FRACTIONS = [
    *(column.name for column in COLUMNS if column.shown and column.summary == "fraction"),
    *(combined.name for combined in COMBINED if combined.shown),
]
MEANS = [column for column in COLUMNS if column.shown and column.summary == "mean"]


def section(run: Run) -> Section:
    """The table of fractions, the table of means, and the funnel."""
    dots = {name: markup.dot(colour, name) for name, colour in run.colours.items()}
    fractions = markup.table(
        ["policy", *(markup.heading(name) for name in FRACTIONS)],
        [
            [dots[policy], *(markup.share(run.share(policy, name)) for name in FRACTIONS)]
            for policy in run.policies
        ],
        caption=Markup(
            "Each test separately, of all sampled structures: k/n and 95 % Wilson interval in per "
            "cent. {}"
        ).format(markup.meanings(FRACTIONS)),
    )
    names = [column.name for column in MEANS]
    means = markup.table(
        ["policy", *(markup.heading(name) for name in names)],
        [
            [
                dots[policy],
                *(markup.interval(run.mean(policy, c.name), c.digits) for c in MEANS),
            ]
            for policy in run.policies
        ],
        caption=Markup(
            "Means over the n structures for which the quantity exists, with 95 % interval "
            "(Student's t), and the median. A mean over the structures that succeeded favours a "
            "policy that fails often: compare n as well. {}"
        ).format(markup.meanings(names)),
    )
    counts = {policy: funnel(rows) for policy, rows in by_policy(run.table).items()}
    drawing = draw_funnel(counts, run.colours)
    picture = markup.picture(
        "funnel",
        drawing,
        label="Bars per policy: the number of structures that pass each test in turn",
        caption="The funnel: each bar counts the structures that passed its test and all tests "
        "above it. Evaluated: the relaxed structure has an energy above hull, converged or not. "
        "Unique: among the stable structures, so that the last bar is the S.U.N. count. Validity "
        "(table above) is not a condition.",
    )
    return Section(
        "policies",
        "The policies",
        fractions + means + picture,
        figures={"funnel": drawing},
        tables={"policies": policy_table(run), "funnel": funnel_table(counts)},
    )


def funnel(rows: pd.DataFrame) -> dict[str, int]:
    """The number of rows that pass the tests one after another; the last is the S.U.N. count."""
    steps = {
        "decoded": flag(rows, "decoded"),
        "evaluated": np.isfinite(numbers(rows, "e_above_hull")),
        "stable": flag(rows, "stable"),
        "unique": flag(rows, "stable_unique"),
        "novel": flag(rows, "sun"),
    }
    counts, alive = {"sampled": len(rows)}, np.ones(len(rows), dtype=bool)
    for name, passed in steps.items():
        alive &= passed
        counts[name] = int(alive.sum())
    return counts


def draw_funnel(funnels: Mapping[str, Mapping[str, int]], colours: Mapping[str, str]) -> Canvas:
    """One panel of bars per policy."""
    with canvas(
        columns=max(1, len(funnels)), height=1.9, width=max(7.2, 1.9 * len(funnels)), share_y=True
    ) as drawing:
        for axis, (policy, steps) in zip(drawing.axes, funnels.items(), strict=False):
            counts, places = list(steps.values()), range(len(steps))
            axis.barh(places, counts, color=colours[policy], height=0.74)
            for place, count in zip(places, counts, strict=True):
                axis.annotate(
                    f"{count}", (count, place), xytext=(4, 0),
                    textcoords="offset points", va="center", fontsize=7.5,
                )  # fmt: skip
            axis.set_yticks(places, list(steps))
            axis.set_xlim(0, 1.22 * max(1, counts[0]))
            axis.set_xticks([])
            axis.spines["bottom"].set_visible(False)
            axis.tick_params(axis="y", length=0)
            axis.set_title(policy)
        first = drawing.axes[0]
        first.set_ylim(first.get_ylim()[::-1])
    return drawing


def policy_table(run: Run) -> pd.DataFrame:
    """One row per policy and quantity: the numbers behind the tables, for a CSV."""
    records: list[dict[str, Any]] = []
    for policy, entry in run.policies.items():
        for prefix, kind in (("", "fractions"), ("mean_", "numbers")):
            records += [
                {"policy": policy, "quantity": prefix + name, **part}
                for name, part in entry[kind].items()
            ]
    columns = ["policy", "quantity", "k", "n", "fraction", "mean", "low", "high", "median"]
    return pd.DataFrame(records, columns=columns)


def funnel_table(funnels: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    """Counts of the funnel, for a CSV."""
    rows = [[policy, step, k] for policy, steps in funnels.items() for step, k in steps.items()]
    return pd.DataFrame(rows, columns=["policy", "step", "count"])
