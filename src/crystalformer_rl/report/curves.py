"""The numbers of a figure's curves, with which the browser can read and zoom them.

The picture remains matplotlib's SVG. The page also contains the limits of each panel and the
numbers of its curves as JSON, which browser/curves.js reads.
"""

import re
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from crystalformer_rl.report.style import INK, Canvas

DIGITS = 5
"""Significant digits of the values of a curve."""


def curves(drawing: Canvas, name: str) -> dict[str, Any] | None:
    """The panels with curves of a figure; None if it has none.

    A curve is a line with a label that goes from left to right on linear axes. A label that starts
    with an underscore is read without it; matplotlib keeps it out of the legend.

    Parameters
    ----------
    drawing
        The figure.
    name
        The prefix of its ids on the page, see :func:`~crystalformer_rl.report.style.inline`.
    """
    drawing.svg()  # the layout is found when it is drawn
    places: dict[tuple[float, ...], int] = {}
    panels = [
        _panel(axis, drawing, name, places)
        for axis in drawing.axes
        if axis.get_visible() and _read(axis)
    ]
    return {"panels": panels, "x": [list(x) for x in places]} if panels else None


def _panel(
    axis: Axes, drawing: Canvas, name: str, places: dict[tuple[float, ...], int]
) -> dict[str, Any]:
    """One panel; the x of its curves are places in the list of all different ones."""
    width, height = 72 * drawing.figure.get_size_inches()
    box = axis.get_position()
    lines = []
    for line in _read(axis):
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        known = np.isfinite(x) & np.isfinite(y)
        lines.append(
            {
                "name": _plain(str(line.get_label()).removeprefix("_")),
                "colour": _colour(line),
                "held": line.get_drawstyle() == "steps-post",
                "x": places.setdefault(_rounded(x[known], 9), len(places)),
                "y": _rounded(y[known], DIGITS),
            }
        )
    return {
        "id": f"{name}-{axis.get_gid()}",
        "title": _plain(axis.get_title(loc="left")),
        "label": _plain(axis.get_xlabel()),
        # In points from the upper left corner, as in the SVG: left, top, right, bottom.
        "box": [box.x0 * width, (1 - box.y1) * height, box.x1 * width, (1 - box.y0) * height],
        "x": axis.get_xlim(),
        "y": axis.get_ylim(),
        "percent": _in_percent(axis.yaxis),
        "curves": lines,
    }


def _read(axis: Axes) -> list[Line2D]:
    """The lines of a panel that are curves."""
    if axis.get_xscale() != "linear" or axis.get_yscale() != "linear":
        return []
    return [line for line in axis.lines if _is_curve(line, axis)]


def _is_curve(line: Line2D, axis: Axes) -> bool:
    named = not str(line.get_label()).startswith("_child")
    x = np.asarray(line.get_xdata(), float)
    rising = len(x) > 1 and bool((np.diff(x) >= 0).all() and x[0] < x[-1])
    return named and rising and line.get_transform() == axis.transData


def _in_percent(axis: Axis) -> bool:
    formatter = axis.get_major_formatter()
    return isinstance(formatter, FuncFormatter) and formatter(0.5).endswith("%")


def _colour(line: Line2D) -> str:
    colour = to_hex(line.get_color())
    return "currentColor" if colour == INK else colour


def _rounded(values: NDArray[np.float64], digits: int) -> tuple[float, ...]:
    found = (float(f"{value:.{digits}g}") for value in values)
    return tuple(int(value) if value.is_integer() else value for value in found)


def _plain(text: str) -> str:
    r"""A text without the marks of mathtext: ``$E_\mathrm{hull}$`` becomes ``E_hull``."""
    return re.sub(r"\\math\w+|[${}]", "", text)
