"""``compare``: put finished runs side by side in one page.

examples:
  what a change of the settings did
    crystalformer-rl compare default warmer
  the same run with three seeds
    crystalformer-rl compare seed-0 seed-1 seed-2 --out seeds

FOLDER/index.html has the settings that differ, every fraction of every policy, the differences to
the first run, what the policies gain over base in the mean of the runs, and the curves of training,
with a band over the runs that differ only in the seed; the tables are CSV files next to it, the
figures as SVG and PDF.
"""

import argparse
import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from crystalformer_rl.evaluation.columns import title_of
from crystalformer_rl.evaluation.intervals import Interval
from crystalformer_rl.files import write_bytes, write_text
from crystalformer_rl.report import browser, markup
from crystalformer_rl.report.markup import MISSING, Section
from crystalformer_rl.report.sections.differences import change
from crystalformer_rl.report.values import Share
from crystalformer_rl.stages import options as flags
from crystalformer_rl.tools.compare import curves
from crystalformer_rl.tools.compare import runs as tables
from crystalformer_rl.tools.compare.runs import Finished, load

STYLE = Path(markup.__file__).with_name("style.css")

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    flags.add_examples(parser, __doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="names of runs, or their folders")
    parser.add_argument(
        "--out", type=Path, default=Path("compared"), help="folder to write (default: compared)"
    )


def run(args: argparse.Namespace) -> None:
    """Write the page and its tables.

    Raises
    ------
    FileNotFoundError
        If a run does not exist or has not been evaluated yet.
    ValueError
        If there are fewer than two runs, or one is named twice.
    """
    if len(args.runs) < 2 or len(set(args.runs)) < len(args.runs):
        raise ValueError("give two or more runs, each once")
    found = [load(name) for name in args.runs]
    if len({one.name for one in found}) < len(found):
        raise ValueError("the folders must have different names, which the page shows")
    made = sections(found)
    for section in made:
        for name, table in section.tables.items():
            write_text(args.out / f"{name}.csv", table.to_csv(index=False))
        for name, drawing in section.figures.items():
            write_text(args.out / f"{name}.svg", drawing.svg() + "\n")
            write_bytes(args.out / f"{name}.pdf", drawing.pdf())
    page = markup.TEMPLATES.get_template("frame.html").render(
        title=" and ".join(one.name for one in found),
        style=Markup(STYLE.read_text(encoding="utf-8")),
        subtitle="The numbers of every table and figure are CSV files next to this page.",
        sections=made,
        scripts=browser.scripts(browser.FOR_CURVES),
    )
    write_text(args.out / "index.html", page)
    for row in tables.paired(found).to_dict("records"):
        if row["quantity"] in ("stable_initial", "sun_supported"):
            ends = [100 * row[name] for name in ("difference", "low", "high")]
            log.info(
                "%s, %s: %+.1f points over base [%.1f, %.1f], %d runs",
                *(row["policy"], title_of(row["quantity"]), *ends, row["runs"]),
            )
    log.info("the page: %s", args.out / "index.html")


def sections(found: list[Finished]) -> list[Section]:
    """The sections of the page."""
    names = [one.name for one in found]
    differing = tables.settings_that_differ(found)
    fractions, differences, paired = (
        make(found) for make in (tables.fractions, tables.differences, tables.paired)
    )
    courses = curves.section(found)
    return [
        Section(
            "settings", "Settings that differ", _settings(differing, names),
            tables={"settings": differing},
        ),
        Section(
            "fractions", "Fractions", _fractions(fractions, names), tables={"fractions": fractions}
        ),
        Section(
            "differences", f"Differences to {names[0]}", _differences(differences, "run"),
            tables={"differences": differences},
        ),
        Section(
            "gains", "Gains over base in the mean of the runs", _differences(paired, "runs"),
            tables={"gains": paired},
        ),
        *([] if courses is None else [courses]),
    ]  # fmt: skip


def _settings(table: pd.DataFrame, names: list[str]) -> Markup:
    if table.empty:
        return Markup("<p>None: the runs have the same settings, the seed included.</p>")
    rows = [[str(cell) for cell in row] for row in table.to_numpy()]
    return markup.table(["key", *names], rows, kind="words")


def _fractions(table: pd.DataFrame, names: list[str]) -> Markup:
    cells: dict[str, dict[str, Markup]] = {}
    for row in table.to_dict("records"):
        label = f"{row['policy']}, {title_of(row['quantity'])}"
        share = Share(row["k"], row["n"], row["low"], row["high"])
        cells.setdefault(label, {})[row["run"]] = markup.share(share)
    rows = [[label, *(by.get(name, MISSING) for name in names)] for label, by in cells.items()]
    return markup.table(
        ["policy and quantity", *names], rows, caption="k of n with the 95 % interval of Wilson."
    )


def _differences(table: pd.DataFrame, last: str) -> Markup:
    if table.empty:
        return Markup("<p>There is nothing to subtract: no policy is in two of the runs.</p>")
    rows = [
        [
            row["policy"],
            title_of(row["quantity"]),
            str(row[last]),
            change(_interval(row), factor=100, digits=1),
        ]
        for row in table.to_dict("records")
    ]
    return markup.table(
        ["policy", "quantity", last, "difference, percentage points"],
        rows,
        kind="words",
        caption="With 95 % intervals: Newcombe's between two runs, Student's for the mean over "
        "runs. In bold: the interval excludes 0.",
    )


def _interval(row: Mapping[Hashable, Any]) -> Interval:
    """The difference of a row; the table has NaN where there is none."""
    ends = (row["difference"], row["low"], row["high"])
    return Interval(*(None if pd.isna(end) else end for end in ends))
