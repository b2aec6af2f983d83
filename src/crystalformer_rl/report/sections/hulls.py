"""The convex hull of each binary and ternary system in which something stable was found."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from crystalformer_rl.report import browser, hulls, markup
from crystalformer_rl.report.hulls import System
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections.structures import ordered
from crystalformer_rl.report.style import FAINT, INK, Canvas, canvas
from crystalformer_rl.report.values import text

HEIGHT = 3**0.5 / 2
"""Of the triangle of a ternary system, whose sides are 1."""
LETTER, LINE = 5.2, 10.0
"""Room of a letter and of a line of a label, points."""


def section(run: Run) -> Section | None:
    """The systems to choose from; None without a hull or a find."""
    table = ordered(run.table)
    found = [] if run.hull is None else hulls.systems(table, run.hull)
    if not found:
        return None
    first, policies = found[0], text(table, "policy")
    drawing = draw(first, [str(policies[find.row]) for find in first.finds], run.colours)
    caption = (
        f"{len(found):,} binary and ternary systems have a stable find; the one with the best "
        "S.U.N. structure comes first. Filled discs: known compounds on the hull of the "
        "potential's energies, which lines connect; grey rings: known compounds above it, the "
        "lowest of each composition. Stars are S.U.N. finds and coloured rings other stable ones, "
        "in the colour of their policy. A find below the lines would remove known compounds from "
        "the hull; far below, an error of the potential or a gap in the hull is more likely."
    )
    picture = markup.picture(
        "hull", drawing, label=f"Convex hull of {first.name} with the finds", caption=caption
    )
    body = markup.piece("hulls", picture, browser.packed("hulls-data", hulls.encoded(found)))
    return Section(
        "hulls", "Finds on the hull", body, figures={"hull": drawing},
        tables={"hull-finds": finds_table(found, table), "hull-phases": phases_table(found)},
    )  # fmt: skip


def finds_table(found: Sequence[System], table: pd.DataFrame) -> pd.DataFrame:
    """The finds of all systems; energies in eV/atom."""
    rows = [
        {
            "system": one.name, "policy": table["policy"].iloc[find.row],
            "id": table["id"].iloc[find.row], "formula": find.formula, "sun": find.sun,
            "formation_energy": find.energy, "e_above_hull": find.above,
            "competing_phases": " + ".join(one.phases[i].formula for i in find.rivals),
        }
        for one in found
        for find in one.finds
    ]  # fmt: skip
    return pd.DataFrame(rows)


def phases_table(found: Sequence[System]) -> pd.DataFrame:
    """The known phases of all systems; energies in eV/atom."""
    rows = [
        [one.name, phase.formula, phase.id, phase.energy, phase.above]
        for one in found
        for phase in one.phases
    ]
    return pd.DataFrame(
        rows, columns=["system", "formula", "id", "formation_energy", "e_above_hull"]
    )


def draw(system: System, policies: Sequence[str], colours: Mapping[str, str]) -> Canvas:
    """A system; ``policies`` are those of its finds."""
    ternary = len(system.elements) == 3
    with canvas(height=4.6 if ternary else 3.4) as drawing:
        axis = drawing.axes[0]
        known = [_place(system, one.formula, one.energy) for one in system.phases]
        finds = [_place(system, one.formula, one.energy) for one in system.finds]
        for pair in system.lines:
            axis.plot(*zip(*(known[i] for i in pair), strict=True), color=INK, lw=0.8, zorder=1)
        for (x, y), one in zip(known, system.phases, strict=True):
            stable = one.above == 0
            axis.plot(
                x, y, "o", ms=5 if stable else 3.5, mfc=INK if stable else "none",
                mec=INK if stable else FAINT, mew=0.8, zorder=2, clip_on=False,
            )  # fmt: skip
        for (x, y), find, policy in reversed(list(zip(finds, system.finds, policies, strict=True))):
            tone = colours[policy]
            if find.sun:
                axis.plot(x, y, "*", ms=11, mfc=tone, mec=INK, mew=0.4, zorder=3, clip_on=False)
            else:
                axis.plot(x, y, "o", ms=7, mfc="none", mec=tone, mew=1.2, zorder=3, clip_on=False)
        if ternary:
            axis.set(xlim=(-0.15, 1.15), ylim=(-0.07, HEIGHT + 0.07), aspect="equal")
            axis.set_axis_off()
        else:
            axis.set_xlabel(f"fraction of {system.elements[1]}")
            axis.set_ylabel("formation energy (eV/atom)")
            axis.grid(axis="y")
        axis.set_title(system.name)
        marks = [
            Line2D([], [], marker="*", ls="", ms=9, color=colours[name], label=name)
            for name in dict.fromkeys(policies)
        ]
        axis.legend(handles=marks, loc="upper left", bbox_to_anchor=(1, 1))
        drawing.figure.draw_without_rendering()
        _label(axis, system, known, finds)
    return drawing


def _place(system: System, formula: str, energy: float) -> tuple[float, float]:
    """Where a phase is: fraction and energy, or a point in the triangle."""
    amounts = system.amounts(formula)
    fractions = [one / sum(amounts) for one in amounts]
    if len(fractions) == 2:
        return fractions[1], energy
    return fractions[1] + fractions[2] / 2, fractions[2] * HEIGHT


def _label(
    axis: Axes,
    system: System,
    known: Sequence[tuple[float, float]],
    finds: Sequence[tuple[float, float]],
) -> None:
    """Name what is on the hull, then the finds with their energies, where there is room."""
    words = [
        (at, one.formula, "")
        for at, one in zip(known, system.phases, strict=True)
        if one.above == 0
    ]
    for at, one in zip(finds, system.finds, strict=True):
        words.append((at, one.formula, f" {1000 * one.above:+.0f} meV".replace("-", "−")))
    points = axis.transData.transform([at for at, *_ in words]) * 72 / axis.figure.dpi
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    for (at, formula, energy), (x, y) in zip(words, points, strict=True):
        width = LETTER * len(formula + energy)
        for dx, dy in ((7, 0), (-7 - width, 0), (-width / 2, 11), (-width / 2, -11)):
            box = (x + dx, y + dy - LINE / 2, x + dx + width, y + dy + LINE / 2)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axis.annotate(
                    re.sub(r"([0-9.]+)", r"$_{\1}$", formula) + energy, at, xytext=(dx, dy),
                    textcoords="offset points", va="center", fontsize=7.5, annotation_clip=False,
                    zorder=4,
                )  # fmt: skip
                break


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
