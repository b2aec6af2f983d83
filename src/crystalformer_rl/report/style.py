"""The style of all figures, which are the same bytes for the same numbers.

Figures are matplotlib, without pyplot and without the user's matplotlibrc; text is drawn as
outlines, so that a page or a paper looks the same on every machine.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

INK = "#1b1f24"
GRID = "#d5dae0"
FAINT = "#8a929c"

# Okabe & Ito's colours, distinguishable with common forms of colour blindness; the base policy is
# grey because it is what the others are compared with.
BASE_COLOUR = "#6b7480"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

MANY_POINTS = 1500
"""Beyond this many, points are drawn as pixels, so that the page stays small."""

_HEADER = r"<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*|<!--.*?-->\s*|<metadata>.*?</metadata>\s*"

_UNDATED_SVG = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_UNDATED_PDF = dict.fromkeys(("Creator", "CreationDate", "Producer"))

_RC: dict[Any, Any] = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.6,
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "svg.hashsalt": "crystalformer-rl",
}


@contextmanager
def _look() -> Iterator[None]:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def policy_colours(policies: Sequence[str]) -> dict[str, str]:
    """Colour of each policy: grey for ``base``, then the palette in the order given."""
    others = [name for name in policies if name != "base"]
    colours = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(others)}
    return {name: colours.get(name, BASE_COLOUR) for name in policies}


class Drawing(Protocol):
    """A figure that can be written as a file."""

    def svg(self) -> str:
        """The figure as a stand-alone SVG text."""

    def pdf(self) -> bytes:
        """The figure as PDF, with text as text."""


@dataclass(frozen=True)
class Canvas:
    """A figure and its axes, row by row; see :func:`canvas`."""

    figure: Figure
    rows: list[list[Axes]]

    @property
    def axes(self) -> list[Axes]:
        """All axes in reading order."""
        return [axis for row in self.rows for axis in row]

    def hide_after(self, used: int) -> None:
        """Hide the axes after the first ``used``."""
        for axis in self.axes[max(1, used) :]:
            axis.set_visible(False)

    def svg(self) -> str:
        """The figure as SVG without dates, program names or links."""
        return self._svg

    @cached_property
    def _svg(self) -> str:
        text = re.sub(_HEADER, "", self._saved("svg", _UNDATED_SVG).decode(), flags=re.DOTALL)
        # Coordinates to a hundredth of a point: half the bytes, the same picture.
        return re.sub(r'\b(?:d|x|y)="[^"]*"', _shortened, text)

    def pdf(self) -> bytes:
        """The figure as PDF without dates or program names."""
        return self._saved("pdf", _UNDATED_PDF)

    def _saved(self, kind: str, metadata: dict[str, None]) -> bytes:
        buffer = io.BytesIO()
        with _look():
            self.figure.savefig(buffer, format=kind, metadata=metadata, dpi=160)
        return buffer.getvalue()


def _shortened(match: re.Match[str]) -> str:
    return re.sub(r"(\.\d\d)\d+", r"\1", match.group(0))


@contextmanager
def canvas(
    *,
    rows: int = 1,
    columns: int = 1,
    width: float = 7.2,
    height: float = 3.2,
    share_x: bool = False,
    share_y: bool = False,
) -> Iterator[Canvas]:
    """A grid of empty axes; draw on them inside the block, where the house look holds.

    ``width`` and ``height`` are the size of the whole figure in inches.
    """
    with _look():
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=share_y)
        drawing = Canvas(figure=figure, rows=[list(row) for row in grid])
        for place, axis in enumerate(drawing.axes):  # names for curves.js
            axis.set_gid(f"panel-{place}")
            for own in (axis.xaxis, axis.yaxis):
                own.get_offset_text().set_gid(f"offset-{own.axis_name}-{place}")
        yield drawing


def percent_axis(axis: Axes, *, along: Literal["x", "y"] = "y") -> None:
    """Write the fractions of an axis in per cent."""
    getattr(axis, f"{along}axis").set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:g} %")
    )


def label_rows(axis: Axes) -> None:
    """Labels without ticks for the rows of a figure, clear of markers at the left edge."""
    axis.tick_params(axis="y", length=0, pad=8)


def inline(svg: str, name: str) -> str:
    """Prepare an SVG text for an HTML page.

    Its ids get the prefix ``name``, so that two figures on a page never share a definition, and
    ink and grid take the colours of the page, so that it is legible on dark and on white.
    """
    ids = sorted(set(re.findall(r'\bid="([^"]+)"', svg)), key=len, reverse=True)
    known = set(ids)

    def renamed(match: re.Match[str]) -> str:
        before, identifier, after = match.groups()
        return f"{before}{name}-{identifier}{after}" if identifier in known else match.group(0)

    svg = re.sub(r'(\bid=")([^"]+)(")', renamed, svg)
    svg = re.sub(r'((?:xlink:)?href="#)([^"]+)(")', renamed, svg)
    svg = re.sub(r"(url\(#)([^)]+)(\))", renamed, svg)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href=", "href=")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    # The place of a figure that the browser has not drawn yet.
    shape = r'\1 style="aspect-ratio: \2 / \3"'
    svg = re.sub(r'(<svg[^>]*? viewBox="0 0 ([\d.]+) ([\d.]+)")', shape, svg, count=1)
    return svg.replace(INK, "currentColor").replace(GRID, "var(--grid)").strip()
