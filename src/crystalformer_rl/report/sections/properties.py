"""Predicted band gap against dielectric constant."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import FAINT, INK, MANY_POINTS, Canvas, canvas, policy_colours
from crystalformer_rl.report.values import flag, numbers

LINES = (5.0, 10.0, 20.0, 40.0)


def section(run: Run) -> Section:
    """Gap against dielectric constant."""
    drawing = draw(run.table, list(run.policies))
    body = markup.picture(
        "gap-dielectric",
        drawing,
        label="Band gap against dielectric constant per policy, with figure-of-merit lines",
        caption="Predicted band gap and electronic dielectric constant of every structure that has "
        "both. Dots: not stable; rings: stable; stars: S.U.N. Along a dashed line the figure of "
        "merit, gap × constant, is the same. Both numbers are means of an ensemble of regression "
        "models on CHGNet features; they are a guide for screening, not a measurement.",
    )
    return Section(
        "properties",
        "Band gap and dielectric constant",
        body,
        figures={"gap-dielectric": drawing},
    )


def draw(table: pd.DataFrame, policies: Sequence[str]) -> Canvas:
    """A panel per policy, with lines of equal figure of merit."""
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
            many = bool(own.sum() > MANY_POINTS)
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
        drawing.hide_after(len(policies))
    return drawing


def _merit_lines(axis: Axes, *, right: float, bottom: float, top: float) -> None:
    gaps = np.linspace(right / 400, right, 400)
    for merit in LINES:
        values = merit / gaps
        inside = (values >= bottom) & (values <= top)
        if not inside.any():
            continue
        axis.plot(gaps[inside], values[inside], color=FAINT, lw=0.8, ls=(0, (3, 2)))
        # The label is where the line leaves the panel, away from the cloud of points.
        last = int(np.flatnonzero(inside)[-1])
        leaves_right = last == len(gaps) - 1
        axis.annotate(
            f"{merit:g} eV", (gaps[last], values[last]), xytext=(3, 0 if leaves_right else 3),
            textcoords="offset points", va="center" if leaves_right else "bottom", fontsize=7,
            color=FAINT, annotation_clip=False,
        )  # fmt: skip
