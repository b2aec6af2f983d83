"""The page: everything about a run in one HTML file that needs no other file."""

from dataclasses import dataclass
from importlib import resources

import pandas as pd
from markupsafe import Markup

from crystalformer_rl.report import browser
from crystalformer_rl.report.markup import TEMPLATES
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections import SECTIONS


@dataclass(frozen=True)
class Report:
    """What the report stage writes.

    Attributes
    ----------
    html
        The page; figures, style and script are inside it.
    figures
        The figures as stand-alone SVG texts, by name.
    tables
        The numbers behind the figures and tables, by name.
    """

    html: str
    figures: dict[str, str]
    tables: dict[str, pd.DataFrame]


def build(run: Run) -> Report:
    """Make the page of a run. The same run gives the same bytes."""
    sections = [found for section in SECTIONS if (found := section(run)) is not None]
    style = resources.files("crystalformer_rl.report").joinpath("style.css")
    html = TEMPLATES.get_template("page.html").render(
        title=run.config.report.title,
        subtitle=f"Run {run.config.run} · {', '.join(run.policies) or 'no policy'} · what each "
        "generates, and how it was evaluated",
        style=Markup(style.read_text(encoding="utf-8")),
        sections=sections,
        viewer=browser.viewer(),
        scripts=browser.scripts(),
    )
    return Report(
        html=html,
        figures={name: svg for section in sections for name, svg in section.figures.items()},
        tables={name: table for section in sections for name, table in section.tables.items()},
    )
