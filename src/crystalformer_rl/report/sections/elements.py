"""Which elements the policies use, on the periodic table."""

import re
from collections.abc import Mapping

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle
from pymatgen.core import Element

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import FAINT, GRID, Canvas, canvas
from crystalformer_rl.report.values import by_policy, flag, text

HEAVIEST = 103  # lawrencium
LEAST = 0.001  # fraction of the crystals that gets the faintest colour
COLOURS = colormaps["cividis_r"]


def section(run: Run) -> Section:
    """A periodic table per policy."""
    counts = {policy: element_counts(rows) for policy, rows in by_policy(run.table).items()}
    drawing = draw(counts)
    body = markup.picture(
        "elements",
        drawing,
        label="Periodic table per policy, coloured by how many crystals contain each element",
        caption="Fraction of the decoded crystals of a policy that contain an element; empty "
        "squares: none. The scale is logarithmic. A policy that has collapsed, or that exploits an "
        "error of a potential, has few but dark elements here. The numbers, also of S.U.N. "
        "structures, are in tables/elements.csv.",
    )
    tables = {"elements": element_table(run.table)}
    return Section("elements", "Elements", body, figures={"elements": drawing}, tables=tables)


def element_counts(rows: pd.DataFrame) -> pd.Series:
    """Fraction of the rows with a formula that contain each element, by symbol."""
    formulas = [formula for formula in text(rows, "formula") if formula]
    found = [symbol for formula in formulas for symbol in set(re.findall("[A-Z][a-z]?", formula))]
    return pd.Series(found, dtype="str").value_counts() / max(1, len(formulas))


def draw(fractions: Mapping[str, pd.Series]) -> Canvas:
    """A periodic table per policy, two in a row."""
    columns = 2 if len(fractions) > 1 else 1
    rows = -(-len(fractions) // columns) or 1
    scale = LogNorm(LEAST, 1.0, clip=True)
    height = 0.5 + (2.1 if columns == 2 else 4.2) * rows
    with canvas(rows=rows, columns=columns, height=height) as drawing:
        for axis, (policy, found) in zip(drawing.axes, fractions.items(), strict=False):
            _draw_table(axis, found, scale, size=5.0 if columns == 2 else 9.0)
            axis.set_title(policy)
        drawing.hide_after(len(fractions))
        bar = drawing.figure.colorbar(
            ScalarMappable(scale, COLOURS), ax=drawing.axes, orientation="horizontal",
            fraction=0.04, pad=0.02, aspect=50, format=lambda value, _: f"{100 * value:g} %",
        )  # fmt: skip
        bar.set_label("crystals that contain the element")
        assert bar.solids is not None
        bar.solids.set_rasterized(True)  # 256 rectangles otherwise
    return drawing


def element_table(table: pd.DataFrame) -> pd.DataFrame:
    """Crystals and S.U.N. crystals of each policy that contain each element, for a file."""
    parts = []
    for policy, rows in by_policy(table).items():
        kinds = {"fraction": rows, "fraction_of_sun": rows[flag(rows, "sun")]}
        found = pd.DataFrame({name: element_counts(part) for name, part in kinds.items()})
        found = found.loc[sorted(found.index, key=lambda symbol: Element(symbol).Z)]
        parts.append(found.fillna(0.0).rename_axis("element").reset_index().assign(policy=policy))
    columns = ["policy", "element", "fraction", "fraction_of_sun"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _draw_table(axis: Axes, found: pd.Series, scale: LogNorm, *, size: float) -> None:
    for number in range(1, HEAVIEST + 1):
        element = Element.from_Z(number)
        x, y = _place(element)
        fraction = float(found.get(element.symbol, 0.0))
        tone = COLOURS(scale(fraction)) if fraction else "none"
        edge = GRID if not fraction else "none"
        axis.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fc=tone, ec=edge, lw=0.5))
        ink = FAINT if not fraction else "#ffffff" if scale(fraction) > 0.55 else "#101418"
        axis.text(x, y, element.symbol, color=ink, fontsize=size, ha="center", va="center")
    axis.set(xlim=(0.4, 18.6), ylim=(9.8, 0.4), aspect="equal")
    axis.set_axis_off()


def _place(element: Element) -> tuple[float, float]:
    """Column and row; lanthanides and actinides in two rows below the others."""
    if element.is_lanthanoid:
        return element.Z - 57 + 3.0, 8.3
    if element.is_actinoid:
        return element.Z - 89 + 3.0, 9.3
    return float(element.group), float(element.row)
