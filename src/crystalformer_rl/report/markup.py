"""Pieces of HTML. Whatever comes from data or settings goes through :func:`escape` first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape as _escape

import numpy as np

from crystalformer_rl.report.style import inline
from crystalformer_rl.report.tables import Mean, Share

EHULL = "<i>E</i><sub>hull</sub>"
MISSING = '<span class="missing">–</span>'


@dataclass(frozen=True)
class Section:
    """A part of the page: the anchor, the heading (plain text) and the HTML beneath it."""

    anchor: str
    heading: str
    body: str

    def html(self) -> str:
        """The section as HTML."""
        heading = f"<h2>{escape(self.heading)}</h2>"
        return f'<section id="{self.anchor}">\n{heading}\n{self.body}\n</section>'


def escape(value: object) -> str:
    """The value as text that HTML shows as it is, quotes included."""
    return _escape(str(value), quote=True)


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", kind: str = ""
) -> str:
    """A table of ready HTML cells; the first cell of each row is its heading."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>\n'
        for row in rows
    )
    described = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f'<figure class="wide">{described}<div class="scroll"><table class="{kind}">'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div></figure>"
    )


def picture(name: str, svg: str, *, caption: str, label: str) -> str:
    """A figure: ``svg`` inline, ``caption`` ready HTML, ``label`` the plain text for a reader."""
    shown = inline(svg, name).replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
    return f'<figure id="figure-{name}">{shown}<figcaption>{caption}</figcaption></figure>'


def formula(text: str | None) -> str:
    """A formula with its numbers as subscripts."""
    if not text:
        return MISSING
    return re.sub(r"([0-9.]+)", r"<sub>\1</sub>", escape(text))


def number(value: float | None, digits: int = 3) -> str:
    """A fixed number of decimals, a true minus, a dash where there is no number."""
    if value is None or not np.isfinite(value):
        return MISSING
    return f"{value:.{digits}f}".replace("-", "−")


def interval(mean: Mean, digits: int = 3) -> str:
    """Mean, and beneath it the interval, the median and the number of values."""
    if mean.n == 0:
        return MISSING
    ends = f"[{number(mean.low, digits)}, {number(mean.high, digits)}]" if mean.n > 1 else "n = 1"
    return (
        f"<b>{number(mean.value, digits)}</b><small>{ends}</small>"
        f"<small>median {number(mean.median, digits)}</small><small>n = {mean.n}</small>"
    )


def share(part: Share) -> str:
    """Percentage, and beneath it k/n and the interval; a dash where n is 0."""
    if not part.n:
        return MISSING
    return (
        f"<b>{percent(part.fraction)}</b><small>{part.k}/{part.n}</small>"
        f"<small>[{100 * part.low:.1f}, {100 * part.high:.1f}]</small>"
    )


def percent(fraction: float) -> str:
    """A fraction as per cent with one decimal."""
    return f"{100 * fraction:.1f}&#8239;%"


def dot(colour: str) -> str:
    """A coloured dot, as in the legends."""
    return f'<i class="dot" style="background:{colour}"></i>'


def note(body: str, *, kind: str = "warning") -> str:
    """A framed remark of ready HTML; ``kind`` is ``warning`` or ``fact``."""
    return f'<div class="note {kind}">{body}</div>'
