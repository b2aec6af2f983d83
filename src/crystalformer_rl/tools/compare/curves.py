"""The course of the training of several runs, with its spread over the runs that repeat another."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.sections.reinforcement import (
    FRACTIONS,
    LABELS,
    SMOOTH_FROM,
    WINDOW,
    smoothed,
)
from crystalformer_rl.report.style import PALETTE, Canvas, canvas, percent_axis
from crystalformer_rl.tools.compare.runs import Finished, policies

QUANTITIES = {
    name: LABELS[name] for name in ("reward_mean", "e_above_hull_mean", "kl", "unique_fraction")
} | {
    "train_loss": "training loss (nats/crystal)",
    "val_loss": "validation loss (nats/crystal)",
}
"""What is drawn of a history where it is there, with the title of its panel."""

Course = dict[str, list[pd.DataFrame]]
"""By quantity, for each group of runs: a column per run, a row per step that all of them have."""


def section(runs: Sequence[Finished]) -> Section | None:
    """A figure per policy; None where no run has a history."""
    groups = repeated(runs)
    found = {policy: course(policy, groups) for policy in policies(runs)}
    found = {policy: one for policy, one in found.items() if one}
    if not found:
        return None
    figures = {f"curves-{policy}": draw(one) for policy, one in found.items()}
    caption = f"A run of {SMOOTH_FROM} steps or more is drawn as the mean of its last {WINDOW}."
    if len(groups) < len(runs):
        caption = (
            "Thick: the mean of the runs whose settings differ in nothing but the seed, at the "
            "steps that all of them have. The band goes from the lowest to the highest of them. "
            f"Thin: each run. {caption}"
        )
    body = markup.piece("paragraphs", [caption])
    for policy, drawing in zip(found, figures.values(), strict=True):
        name = f"curves-{policy}"
        body += markup.picture(
            name,
            drawing,
            label=f"The training of {policy}, by run",
            caption=f"The training of {policy}.",
        )
    return Section("curves", "Curves of training", body, figures, {"curves": table(found)})


def repeated(runs: Sequence[Finished]) -> list[list[Finished]]:
    """The runs in groups that differ in nothing but name and seed."""
    groups: dict[str, list[Finished]] = {}
    for run in runs:
        same = {k: v for k, v in run.settings.items() if k not in ("run", "seed", "report.title")}
        groups.setdefault(repr(sorted(same.items())), []).append(run)
    return list(groups.values())


def course(policy: str, groups: Sequence[Sequence[Finished]]) -> Course:
    """The :data:`QUANTITIES` in the histories of a policy; groups without any are left out."""
    found: Course = {}
    for name in QUANTITIES:
        tables = [_joined(policy, name, group) for group in groups]
        if kept := [one for one in tables if not one.empty]:
            found[name] = kept
    return found


def draw(found: Mapping[str, Sequence[pd.DataFrame]]) -> Canvas:
    """A panel per quantity: a line per group, and for several runs the band around it."""
    columns = min(2, len(found))
    rows = -(-len(found) // columns)
    with canvas(rows=rows, columns=columns, height=0.3 + 2.2 * rows) as drawing:
        for axis, (name, groups) in zip(drawing.axes, found.items(), strict=False):
            for place, group in enumerate(groups):
                colour = PALETTE[place % len(PALETTE)]
                smooth = group.apply(smoothed)
                if group.shape[1] > 1:
                    axis.fill_between(
                        group.index, smooth.min(axis=1), smooth.max(axis=1), color=colour,
                        alpha=0.18, lw=0,
                    )  # fmt: skip
                    for run in smooth:
                        axis.plot(group.index, smooth[run], color=colour, lw=0.6, label=f"_{run}")
                axis.plot(group.index, smooth.mean(axis=1), color=colour, label=_label(group))
            axis.set_title(QUANTITIES[name], fontsize=8.5)
            axis.set_xlabel(str(groups[0].index.name))
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            axis.grid(axis="y")
            if name in FRACTIONS:
                axis.set_ylim(0, 1.03)
                percent_axis(axis)
        drawing.hide_after(len(found))
        drawing.axes[0].legend(loc="best")
    return drawing


def table(found: Mapping[str, Course]) -> pd.DataFrame:
    """The recorded values, not smoothed: mean, lowest and highest of each group at each step."""
    parts = [
        pd.DataFrame(
            {
                "policy": policy, "quantity": name, "runs": " ".join(map(str, group)),
                "step": group.index, "mean": group.mean(axis=1), "lowest": group.min(axis=1),
                "highest": group.max(axis=1),
            }
        )
        for policy, course_of_policy in found.items()
        for name, groups in course_of_policy.items()
        for group in groups
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _joined(policy: str, name: str, group: Sequence[Finished]) -> pd.DataFrame:
    """A column per run that has the quantity, at the steps that all of these have."""
    columns = []
    for run in group:
        history = run.histories.get(policy)
        if history is None or name not in history:
            continue
        along = "step" if policy.startswith("rl-") else "epoch"
        # A round of supervised fine-tuning begins at the step where the one before it ended.
        steps = history.drop_duplicates(along, keep="first").set_index(along)
        values = steps[name].astype(float).rename(run.name)
        if np.isfinite(values).any():
            columns.append(values[np.isfinite(values)])
    return pd.concat(columns, axis=1, join="inner") if columns else pd.DataFrame()


def _label(group: pd.DataFrame) -> str:
    names = ", ".join(map(str, group))
    return names if group.shape[1] == 1 else f"mean of {names}"
