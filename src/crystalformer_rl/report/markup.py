"""Pieces of HTML as :class:`markupsafe.Markup`: a plain string is escaped wherever it is put in.

``Markup("<b>{}</b>").format(value)`` escapes the value. The templates are Jinja2's and escape too.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from crystalformer_rl.evaluation.columns import BY_NAME
from crystalformer_rl.report.curves import curves
from crystalformer_rl.report.style import Canvas, Drawing, inline
from crystalformer_rl.report.values import Mean, Share

EHULL = Markup("<i>E</i><sub>hull</sub>")
MISSING = Markup('<span class="missing">–</span>')
TEMPLATES = Environment(
    loader=PackageLoader("crystalformer_rl.report", ""), autoescape=True, undefined=StrictUndefined
)
_PIECES: Any = TEMPLATES.get_template("pieces.html").module


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes
    ----------
    anchor, heading
        Its id in the page, and its title (plain text).
    body
        The HTML under the heading.
    figures
        Its figures by name, for the folder ``figures``.
    tables
        The numbers behind figures and tables by name, for the folder ``tables``.
    """

    anchor: str
    heading: str
    body: Markup
    figures: Mapping[str, Drawing] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def trusted(text: str) -> Markup:
    """HTML from this package, with `code` in backticks and ``E_hull``."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return Markup(marked.replace("E_hull", EHULL))


def prose(text: str) -> Markup:
    """Plain text with `code` in backticks and ``E_hull``, as HTML."""
    return trusted(str(escape(text)))


def heading(name: str) -> Markup:
    """The title, with unit, of a column of the table of structures."""
    return prose(BY_NAME[name].heading)


def meanings(names: Sequence[str]) -> Markup:
    """The definitions of columns, as one sentence."""
    parts = [
        Markup("<b>{}</b>: {}").format(prose(BY_NAME[n].title or n), prose(BY_NAME[n].meaning))
        for n in names
    ]
    return Markup("; ").join(parts) + "."


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", kind: str = ""
) -> Markup:
    """A table; the first cell of each row is its heading."""
    return Markup(_PIECES.table(headings, rows, caption, kind))


def picture(name: str, drawing: Drawing, *, caption: str, label: str) -> Markup:
    """A figure inline with its caption; ``label`` is read by screen readers.

    The page reads the curves in it by pointing and zooms into them.
    """
    labelled = f'<svg role="img" aria-label="{escape(label)}"'
    shown = Markup(inline(drawing.svg(), name).replace("<svg", labelled, 1))
    found = curves(drawing, name) if isinstance(drawing, Canvas) else None
    if found is not None:
        numbers = htmlsafe_json_dumps(found, separators=(",", ":"), ensure_ascii=False)
        shown += Markup('<script type="application/json" class="curves">{}</script>').format(
            numbers
        )
    return Markup(_PIECES.picture(name, shown, caption))


def piece(name: str, *arguments: object) -> Markup:
    """A macro of pieces.html."""
    return Markup(getattr(_PIECES, name)(*arguments))


def formula(text: str | None) -> Markup:
    """A formula with its numbers as subscripts."""
    if not text:
        return MISSING
    return Markup(re.sub(r"([0-9.]+)", r"<sub>\1</sub>", str(escape(text))))


def number(value: float | None, digits: int = 3) -> str:
    """A fixed number of decimals, a true minus, a dash where there is no number."""
    if value is None or not np.isfinite(value):
        return MISSING
    return f"{value:.{digits}f}".replace("-", "−")


def interval(mean: Mean, digits: int = 3) -> Markup:
    """Mean, and beneath it the interval, the median and the number of values."""
    if mean.n == 0:
        return MISSING
    ends = f"[{number(mean.low, digits)}, {number(mean.high, digits)}]" if mean.n > 1 else "n = 1"
    return Markup("<b>{}</b><small>{}</small><small>median {}</small><small>n = {}</small>").format(
        number(mean.value, digits), ends, number(mean.median, digits), mean.n
    )


def share(part: Share) -> Markup:
    """Percentage, and beneath it k/n and the interval; a dash where n is 0."""
    if not part.n:
        return MISSING
    return Markup("<b>{}</b><small>{}/{}</small><small>[{:.1f}, {:.1f}]</small>").format(
        percent(part.fraction), part.k, part.n, 100 * part.low, 100 * part.high
    )


def mean_text(found: Mean) -> str:
    """``value [low, high]``."""
    if found.n == 0:
        return MISSING
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def share_text(found: Share) -> str:
    """``p % [low, high]``."""
    if not found.n:
        return MISSING
    return f"{percent(found.fraction)} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def counted(found: Share) -> str:
    """``k/n = p % [low, high]``."""
    return f"{found.k}/{found.n} = {share_text(found)}" if found.n else MISSING


def percent(fraction: float) -> str:
    """A fraction as per cent with one decimal."""
    # 100 · 0.2725 is 27.250000000000004 in floating point, and would be rounded up.
    return f"{round(100 * fraction, 9):.1f}\u202f%"


def dot(colour: str, text: str = "") -> Markup:
    """A coloured dot, as in the legends, and a text after it."""
    return Markup('<i class="dot" style="background:{}"></i>{}').format(colour, text)


def pretty_json(value: object) -> str:
    """JSON to be read by people."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
