"""Figures of the judged structures: funnel, energies above hull, space groups, properties."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from crystalformer_rl.report.style import FAINT, INK, Canvas, canvas, policy_colours
from crystalformer_rl.report.tables import Mean, Share, flag, numbers

EHULL_RANGE = (-0.2, 1.2)
_EHULL_BINS = 28
_MANY_POINTS = 1500  # beyond this many, points are drawn as pixels to keep the page small
_FOM_LINES = (5.0, 10.0, 20.0, 40.0)


def funnel(funnels: Mapping[str, Mapping[str, int]]) -> Canvas:
    """One panel of bars per policy: how many of the sampled structures pass each test in turn."""
    colours = policy_colours(list(funnels))
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


def ehull_histograms(table: pd.DataFrame, policies: Sequence[str], *, threshold: float) -> Canvas:
    """E_hull of every policy before (left) and after relaxation (right), the base in outline.

    A bar is the fraction of all sampled structures of the policy; values beyond the range of the
    axis (:data:`EHULL_RANGE`, eV/atom) and failures are not drawn but stay in the denominator.
    """
    colours = policy_colours(policies)
    edges = np.linspace(*EHULL_RANGE, _EHULL_BINS + 1)
    rows = max(1, len(policies))
    columns = (("e_above_hull_initial", "as generated"), ("e_above_hull", "after relaxation"))
    with canvas(
        rows=rows, columns=2, height=0.8 + 1.15 * rows, share_x=True, share_y=False
    ) as drawing:
        for column, (name, title) in enumerate(columns):
            base = _binned(table, "base", name, edges) if "base" in policies else None
            for row, policy in enumerate(policies):
                axis = drawing.rows[row][column]
                heights = _binned(table, policy, name, edges)
                axis.stairs(heights, edges, fill=True, color=colours[policy], alpha=0.85)
                if base is not None and policy != "base":
                    axis.stairs(base, edges, color=INK, lw=0.8, label="base")
                axis.axvline(threshold, color=INK, lw=0.9, ls=(0, (4, 2)))
                below = numbers(table[table["policy"] == policy], name) < threshold
                _note(axis, f"{policy}\n{below.sum()}/{len(below)} below {threshold:g}")
                _percent(axis, "y")
                axis.grid(axis="y")
            drawing.rows[0][column].set_title(title)
            drawing.rows[-1][column].set_xlabel("$E_\\mathrm{hull}$ (eV/atom)")
        drawing.rows[0][0].set_xlim(*EHULL_RANGE)
    return drawing


def ehull_means(means: Mapping[str, Mapping[str, Mean]], *, threshold: float) -> Canvas:
    """Mean E_hull per policy with its interval: as generated (disc) and after relaxation (ring)."""
    colours = policy_colours(list(means))
    with canvas(height=0.75 + 0.42 * max(1, len(means))) as drawing:
        axis = drawing.axes[0]
        for place, (policy, by_name) in enumerate(means.items()):
            for shift, (name, interval) in zip((-0.13, 0.13), by_name.items(), strict=False):
                if not np.isfinite(interval.value):
                    continue
                tone, y = colours[policy], place + shift
                filled = name == "as generated"
                axis.plot([interval.low, interval.high], [y, y], color=tone, lw=2.2)
                axis.plot(
                    interval.value, y, "o", color=tone, ms=6, mew=1.6,
                    mfc=tone if filled else "none", label=name if place == 0 else None,
                )  # fmt: skip
        axis.axvline(threshold, color=INK, lw=0.9, ls=(0, (4, 2)))
        axis.set_yticks(range(len(means)), list(means))
        axis.set_ylim(max(1, len(means)) - 0.5, -0.5)
        axis.set_xlabel("mean $E_\\mathrm{hull}$ (eV/atom), 95 % interval")
        axis.grid(axis="x")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="best")
    return drawing


def sun_by_group(shares: Mapping[str, Mapping[str, Share]]) -> Canvas:
    """Fraction of S.U.N. structures per space group and policy, with 95 % Wilson intervals.

    ``shares`` maps the label of a group to the share of each policy.
    """
    policies = list(dict.fromkeys(policy for group in shares.values() for policy in group))
    colours = policy_colours(policies)
    width = 0.8 / max(1, len(policies))
    with canvas(width=max(7.2, 0.5 * len(shares)), height=3.1) as drawing:
        axis = drawing.axes[0]
        for index, policy in enumerate(policies):
            places = np.arange(len(shares)) - 0.4 + (index + 0.5) * width
            of_policy = [group.get(policy) for group in shares.values()]
            heights = [share.fraction if share else 0.0 for share in of_policy]
            axis.bar(places, heights, width=0.9 * width, color=colours[policy], label=policy)
            for place, share in zip(places, of_policy, strict=True):
                if share and share.n:
                    axis.plot([place, place], [share.low, share.high], color=INK, lw=0.7)
        axis.set_xticks(range(len(shares)), list(shares), rotation=40, ha="right")
        axis.tick_params(axis="x", length=0)
        axis.set_ylabel("S.U.N. fraction")
        axis.set_ylim(0, 1)
        _percent(axis, "y")
        axis.grid(axis="y")
        if policies:
            axis.legend(ncols=len(policies), loc="upper right")
    return drawing


def gap_dielectric(table: pd.DataFrame, policies: Sequence[str]) -> Canvas:
    """Predicted band gap against dielectric constant, with lines of equal figure of merit.

    Small dots are all structures with both numbers, discs the stable ones, stars the S.U.N. ones.
    """
    colours = policy_colours(policies)
    columns = min(2, max(1, len(policies)))
    rows = -(-len(policies) // columns) or 1
    with canvas(
        rows=rows, columns=columns, height=0.5 + 2.5 * rows, share_x=True, share_y=True
    ) as drawing:
        gap, dielectric = numbers(table, "band_gap"), numbers(table, "dielectric")
        known = np.isfinite(gap) & np.isfinite(dielectric) & (dielectric > 0)
        right = max(1.0, float(gap[known].max(initial=0.0)) * 1.08)
        top = max(10.0, float(dielectric[known].max(initial=1.0)) * 1.3)
        bottom = max(1.0, float(dielectric[known].min(initial=top)) * 0.8)
        sun, stable = flag(table, "sun"), flag(table, "stable")
        for axis, policy in zip(drawing.axes, policies, strict=False):
            own = known & (table["policy"] == policy).to_numpy()
            _merit_lines(axis, right=right, bottom=bottom, top=top)
            tone = colours[policy]
            many = bool(own.sum() > _MANY_POINTS)
            for mask, mark, size, face, edge in (
                (own & ~stable, ".", 20, FAINT, "none"),
                (own & stable & ~sun, "o", 22, "none", tone),
                (own & sun, "*", 62, tone, INK),
            ):
                axis.scatter(
                    gap[mask], dielectric[mask], s=size, marker=mark, facecolors=face,
                    edgecolors=edge, linewidths={".": 0.0, "o": 0.9, "*": 0.4}[mark],
                    rasterized=many, zorder=3,
                )  # fmt: skip
            axis.set_title(f"{policy} ({own.sum()} predicted)")
        axes = drawing.axes[0]
        axes.set_yscale("log")
        axes.set_xlim(0, right)
        axes.set_ylim(bottom, top)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        for row in drawing.rows:
            row[0].set_ylabel("electronic dielectric constant")
        for axis in drawing.rows[-1]:
            axis.set_xlabel("band gap (eV)")
        _hide_spare(drawing, len(policies))
    return drawing


def _merit_lines(axis: Axes, *, right: float, bottom: float, top: float) -> None:
    gaps = np.linspace(right / 400, right, 400)
    for merit in _FOM_LINES:
        values = merit / gaps
        inside = (values >= bottom) & (values <= top)
        if not inside.any():
            continue
        axis.plot(gaps[inside], values[inside], color=FAINT, lw=0.8, ls=(0, (3, 2)))
        # Labelled where the line leaves the panel, away from the cloud of points.
        last = int(np.flatnonzero(inside)[-1])
        leaves_right = last == len(gaps) - 1
        axis.annotate(
            f"{merit:g} eV", (gaps[last], values[last]), xytext=(3, 0 if leaves_right else 3),
            textcoords="offset points", va="center" if leaves_right else "bottom", fontsize=7,
            color=FAINT, annotation_clip=False,
        )  # fmt: skip


def _binned(
    table: pd.DataFrame, policy: str, column: str, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    values = numbers(table[table["policy"] == policy], column)
    counts, _ = np.histogram(values[np.isfinite(values)], bins=edges)
    return np.asarray(counts / max(1, len(values)), dtype=float)


def _percent(axis: Axes, which: str) -> None:
    chosen = axis.xaxis if which == "x" else axis.yaxis
    chosen.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def _note(axis: Axes, text: str) -> None:
    axis.text(0.985, 0.92, text, transform=axis.transAxes, ha="right", va="top", fontsize=8)


def _hide_spare(drawing: Canvas, used: int) -> None:
    for axis in drawing.axes[max(1, used) :]:
        axis.set_visible(False)
