"""The failures of a run, by reason."""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from markupsafe import Markup

from crystalformer_rl.evaluation.criteria import FAILURE_STAGES
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section, percent
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import Canvas, canvas, percent_axis
from crystalformer_rl.report.values import by_policy, flag, text

ROWS = 60
LENGTH = 160
STAGES = ("decode", "validity", *(stage for stage in FAILURE_STAGES if stage != "decode"))
CHECKS = ("distance", "volume", "charge", "density")


def section(run: Run) -> Section:
    """The table of failures."""
    ledger = failures(run.table)
    if ledger.empty:
        body = Markup("<p>Nothing failed.</p>")
        return Section("failures", "Failures", body, tables={"failures": ledger})
    drawing = draw(ledger, run.colours)
    body = markup.picture(
        "failures",
        drawing,
        label="Bars: failed structures per stage and policy",
        caption="Structures that failed each stage or check, of all samples of a policy. A "
        "structure can be in several bars.",
    )
    return Section(
        "failures",
        "Failures",
        body + _table(ledger),
        figures={"failures": drawing},
        tables={"failures": ledger},
    )


def draw(ledger: pd.DataFrame, colours: Mapping[str, str]) -> Canvas:
    """A group of bars per stage, one bar per policy: the fraction of its samples that failed."""
    sampled = ledger.groupby("policy", sort=False)["sampled"].first()
    counts = ledger.pivot_table(
        index="stage", columns="policy", values="count", aggfunc="sum", fill_value=0
    )
    stages = [stage for stage in STAGES if stage in counts.index]
    stages += [stage for stage in counts.index if stage not in stages]
    width = 0.8 / max(1, len(sampled))
    with canvas(height=0.7 + 0.5 * len(stages)) as drawing:
        axis = drawing.axes[0]
        for index, (policy, number) in enumerate(sampled.items()):
            places = np.arange(len(stages)) - 0.4 + (index + 0.5) * width
            shares = counts.loc[stages, str(policy)] / number
            axis.barh(places, shares, 0.9 * width, color=colours[str(policy)], label=policy)
        axis.set_yticks(range(len(stages)), stages)
        axis.set_ylim(len(stages) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        percent_axis(axis, along="x")
        axis.set_xlabel("of all samples")
        axis.grid(axis="x")
        axis.legend(loc="best")
    return drawing


def _table(ledger: pd.DataFrame) -> Markup:
    shown = ledger.head(ROWS)
    return markup.table(
        ["policy", "stage", "reason", "structures", "share"],
        [
            [
                row["policy"], row["stage"], row["reason"][:LENGTH],
                f"{row['count']}/{row['sampled']}", percent(row["count"] / row["sampled"]),
            ]
            for row in shown.to_dict("records")
        ],
        kind="words",
        caption="Structures that failed a stage or a check, by reason. A structure can be in "
        "several rows. All of them stay in every denominator. "
        f"{len(shown)} of {len(ledger)} rows; all are in tables/failures.csv.",
    )  # fmt: skip


def failures(table: pd.DataFrame) -> pd.DataFrame:
    """Policy, stage, reason, count, sampled; one row per reason that occurred.

    From the column ``failure``, which names the first stage that failed a crystal, and also failed
    validity checks and relaxations that ran out of steps. A crystal can be in several rows. Numbers
    within a reason are left out, so that the same kind of failure is one row.
    """
    counts: dict[tuple[str, str, str], int] = {}
    sampled: dict[str, int] = {}
    for policy, rows in by_policy(table).items():
        sampled[policy] = len(rows)
        decoded = flag(rows, "decoded")
        found = [_split(failure) for failure in text(rows, "failure") if failure]
        for name in CHECKS:
            failed = int((decoded & ~flag(rows, f"valid_{name}")).sum())
            found += [("validity", f"{name} check")] * failed
        unfinished = text(rows, "relax_status").count("not_converged")
        found += [("relax", "out of steps, evaluated as it is")] * unfinished
        for stage, reason in found:
            key = (policy, stage, reason)
            counts[key] = counts.get(key, 0) + 1
    stages = {stage: place for place, stage in enumerate(STAGES)}
    order = sorted(
        counts, key=lambda k: (list(sampled).index(k[0]), stages.get(k[1], 99), -counts[k], k[2])
    )
    return pd.DataFrame(
        [[*key, counts[key], sampled[key[0]]] for key in order],
        columns=["policy", "stage", "reason", "count", "sampled"],
    )


def _split(failure: str) -> tuple[str, str]:
    """Stage and reason of ``stage: reason``, without the numbers in the reason."""
    stage, _, reason = failure.partition(": ")
    return stage, re.sub(r"(?<![\w.])[-−]?\d+(\.\d+)?(e[-+]?\d+)?(?![\w])", "…", reason)
