"""The page: everything about a run in one HTML file that needs no other file."""

from dataclasses import dataclass
from importlib import resources

import pandas as pd
from markupsafe import Markup

from crystalformer_rl.config.potentials import title
from crystalformer_rl.report import browser
from crystalformer_rl.report.markup import TEMPLATES
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections import SECTIONS
from crystalformer_rl.report.style import Drawing


@dataclass(frozen=True)
class Report:
    """What the report stage writes.

    Attributes
    ----------
    html
        The page; figures, style and script are inside it.
    figures
        The figures by name.
    tables
        The numbers behind the figures and tables, by name.
    """

    html: str
    figures: dict[str, Drawing]
    tables: dict[str, pd.DataFrame]


def build(run: Run) -> Report:
    """Make the page of a run. The same run gives the same bytes."""
    sections = [found for section in SECTIONS if (found := section(run)) is not None]
    style = resources.files("crystalformer_rl.report").joinpath("style.css")
    html = TEMPLATES.get_template("page.html").render(
        # Named here, so that it counts for the fingerprint of the stage.
        frame=TEMPLATES.get_template("frame.html"),
        title=run.config.report.title,
        subtitle=subtitle(run),
        style=Markup(style.read_text(encoding="utf-8")),
        sections=sections,
        viewer=browser.viewer(),
        scripts=browser.scripts(),
    )
    return Report(
        html=html,
        figures={name: one for section in sections for name, one in section.figures.items()},
        tables={name: table for section in sections for name, table in section.tables.items()},
    )


def subtitle(run: Run) -> str:
    """The run in one line."""
    config = run.config
    judge = config.judge.potential
    parts = [
        f"Run {config.run}, seed {config.seed}",
        f"{len(run.table):,} structures of {', '.join(run.policies) or 'no policy'}",
        ("relaxed with " if config.relax.max_steps else "not relaxed, energies by ")
        + title(config.relax.potential)
        + ("" if judge is None else f", judged by {title(judge)}"),
        f"stable below {run.threshold:g} eV/atom",
    ]
    return " · ".join(parts)
