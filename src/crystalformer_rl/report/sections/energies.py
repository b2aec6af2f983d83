"""Energy above hull: its distribution and its mean."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section, number
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import INK, Canvas, canvas, percent_axis, policy_colours
from crystalformer_rl.report.values import Mean, numbers

STAGES = {"e_above_hull_initial": "as generated", "e_above_hull": "after relaxation"}
RANGE = (-0.2, 1.2)  # eV/atom
BINS = 28


def section(run: Run) -> Section:
    """Histograms and means of the energy above hull."""
    policies = list(run.policies)
    means = {
        policy: {title: run.mean(policy, name) for name, title in STAGES.items()}
        for policy in policies
    }
    figures = {
        "ehull-histograms": draw_histograms(run.table, policies, threshold=run.threshold),
        "ehull-means": draw_means(means, threshold=run.threshold),
    }
    low, high = RANGE
    histograms = markup.picture(
        "ehull-histograms",
        figures["ehull-histograms"],
        label="Histograms of energy above hull per policy before and after relaxation",
        caption="Energy above hull of every policy, as generated (single point) and after "
        "relaxation. Bars are fractions of all sampled structures, the thin outline repeats the "
        f"base policy, and the dashed line is the stability threshold, {run.threshold:g} eV/atom. "
        f"Values outside {number(low, 1)} to {number(high, 1)} eV/atom and failures are not drawn, "
        "but counted.",
    )
    mean = markup.picture(
        "ehull-means",
        figures["ehull-means"],
        label="Mean energy above hull per policy with intervals",
        caption="Mean energy above hull with 95 % interval, as generated (disc) and after "
        "relaxation (ring). The distance between the two is the energy gained by relaxation: the "
        "smaller it is, the nearer the samples are to their minima.",
    )
    return Section("energies", "Energy above hull", histograms + mean, figures=figures)


def draw_histograms(table: pd.DataFrame, policies: Sequence[str], *, threshold: float) -> Canvas:
    """E_hull of every policy before (left) and after relaxation (right), the base in outline.

    A bar is the fraction of all sampled structures of the policy. Values beyond :data:`RANGE` and
    failures are not drawn but stay in the denominator.
    """
    colours = policy_colours(policies)
    edges = np.linspace(*RANGE, BINS + 1)
    rows = max(1, len(policies))
    with canvas(
        rows=rows, columns=2, height=0.8 + 1.15 * rows, share_x=True, share_y=False
    ) as drawing:
        for column, (name, title) in enumerate(STAGES.items()):
            base = _binned(table, "base", name, edges) if "base" in policies else None
            for row, policy in enumerate(policies):
                axis = drawing.rows[row][column]
                heights = _binned(table, policy, name, edges)
                axis.stairs(heights, edges, fill=True, color=colours[policy], alpha=0.85)
                if base is not None and policy != "base":
                    axis.stairs(base, edges, color=INK, lw=0.8, label="base")
                axis.axvline(threshold, color=INK, lw=0.9, ls=(0, (4, 2)))
                below = numbers(table[table["policy"] == policy], name) < threshold
                axis.text(
                    0.985, 0.92, f"{policy}\n{below.sum()}/{len(below)} below {threshold:g}",
                    transform=axis.transAxes, ha="right", va="top", fontsize=8,
                )  # fmt: skip
                percent_axis(axis)
                axis.grid(axis="y")
            drawing.rows[0][column].set_title(title)
            drawing.rows[-1][column].set_xlabel("$E_\\mathrm{hull}$ (eV/atom)")
        drawing.rows[0][0].set_xlim(*RANGE)
    return drawing


def draw_means(means: Mapping[str, Mapping[str, Mean]], *, threshold: float) -> Canvas:
    """Mean E_hull per policy with its interval: as generated (disc) and after relaxation (ring)."""
    colours = policy_colours(list(means))
    with canvas(height=0.75 + 0.42 * max(1, len(means))) as drawing:
        axis = drawing.axes[0]
        for place, (policy, by_title) in enumerate(means.items()):
            for shift, (title, interval) in zip((-0.13, 0.13), by_title.items(), strict=True):
                if not np.isfinite(interval.value):
                    continue
                tone, y = colours[policy], place + shift
                filled = title == STAGES["e_above_hull_initial"]
                axis.plot([interval.low, interval.high], [y, y], color=tone, lw=2.2)
                axis.plot(
                    interval.value, y, "o", color=tone, ms=6, mew=1.6,
                    mfc=tone if filled else "none", label=title if place == 0 else None,
                )  # fmt: skip
        axis.axvline(threshold, color=INK, lw=0.9, ls=(0, (4, 2)))
        axis.set_yticks(range(len(means)), list(means))
        axis.set_ylim(max(1, len(means)) - 0.5, -0.5)
        axis.set_xlabel("mean $E_\\mathrm{hull}$ (eV/atom), 95 % interval")
        axis.grid(axis="x")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="best")
    return drawing


def _binned(
    table: pd.DataFrame, policy: str, column: str, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    values = numbers(table[table["policy"] == policy], column)
    counts, _ = np.histogram(values[np.isfinite(values)], bins=edges)
    return np.asarray(counts / max(1, len(values)), dtype=float)
