"""``report``: a self-contained page about a run, its figures as SVG and its numbers as CSV."""

import argparse
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from crystalformer_rl.config import Config, ReportSettings
from crystalformer_rl.files import (
    read_json,
    read_rows,
    read_table,
    write_bytes,
    write_json,
    write_text,
)
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.layout import WEIGHTS, provenance_of_shards
from crystalformer_rl.report import hulls, neighbours
from crystalformer_rl.report.crate import NAME, crate
from crystalformer_rl.report.page import build, subtitle
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections import discovery

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--settings", required=True, help="the report section, as JSON")
    parser.add_argument("--config", required=True, help="the whole configuration, as JSON")
    parser.add_argument(
        "--evaluation", type=Path, required=True, help="folder of the evaluate stage"
    )
    parser.add_argument(
        "--hull", type=Path, help="entries of the hull that energies above hull refer to"
    )
    parser.add_argument(
        "--structures",
        type=Path,
        help="table of the dataset; its crystals are drawn next to the structures nearest to them",
    )
    parser.add_argument(
        "--histories",
        type=_named_file,
        nargs="*",
        action="extend",
        default=[],
        metavar="POLICY=FILE",
        help="history tables; a policy trained in rounds has one per round",
    )
    parser.add_argument(
        "--crystals",
        type=_named_file,
        nargs="*",
        action="extend",
        default=[],
        metavar="POLICY=FILE",
        help="the crystals that were sampled during RL fine-tuning, a table per round",
    )
    parser.add_argument(
        "--provenance",
        type=Path,
        nargs="*",
        action="extend",
        default=[],
        metavar="FILE",
        help="provenance of every job that the page reports",
    )
    parser.add_argument(
        "--shards",
        type=provenance_of_shards,
        nargs="*",
        default=[],
        metavar="FOLDER:COUNT",
        help="shards whose provenance the page reports as well",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")


def run(args: argparse.Namespace) -> None:
    """Write ``index.html``, ``provenance.json`` and the folders ``figures`` and ``tables``.

    Each figure is written as SVG and PDF, each table as CSV and as LaTeX. The folder above gets
    ``ro-crate-metadata.json``, which describes the results of the run.

    The folders ``figures`` and ``tables`` are emptied first, so that a figure of an earlier run is
    not mistaken for one of this run.
    """
    settings = ReportSettings.model_validate_json(args.settings)
    config = Config.model_validate_json(args.config).model_copy(update={"report": settings})
    records = [*args.provenance, *chain(*args.shards)]
    structures, summary = args.evaluation / "structures.parquet", args.evaluation / "summary.json"
    provenance = Provenance(
        __name__,
        settings=settings.model_dump(mode="json"),
        inputs={
            "evaluation": [structures, summary],
            "hull": [args.hull] if args.hull else [],
            "structures": [args.structures] if args.structures else [],
            "histories": [path for _, path in args.histories],
            "crystals": [path for _, path in args.crystals],
            "provenance": records,
        },
    )
    table = read_table(structures)
    finished = Run(
        table=table,
        summary=read_json(summary),
        config=config,
        histories=_histories(args.histories),
        provenance=_records(records),
        crystals=_crystals(args.crystals),
        hull=read_table(args.hull, hulls.NEEDED) if args.hull else None,
        known=_known(args.structures, table),
    )
    report = build(finished)
    for folder in ("figures", "tables"):
        shutil.rmtree(args.out / folder, ignore_errors=True)
    for name, drawing in report.figures.items():
        write_text(args.out / "figures" / f"{name}.svg", drawing.svg() + "\n")
        write_bytes(args.out / "figures" / f"{name}.pdf", drawing.pdf())
    for name, table in report.tables.items():
        write_text(args.out / "tables" / f"{name}.csv", table.to_csv(index=False))
        write_text(args.out / "tables" / f"{name}.tex", latex(table))
    write_text(args.out / "index.html", report.html)
    log.info("%s: %.1f MB", args.out / "index.html", len(report.html.encode()) / 1e6)
    results = args.out.parent
    write_json(
        results / NAME,
        crate(
            finished,
            description=subtitle(finished),
            files={
                str(path.relative_to(results)) + "/" * path.is_dir(): what
                for path, what in _published(args).items()
            },
        ),
    )
    provenance.write(
        args.out / "provenance.json", figures=len(report.figures), tables=len(report.tables)
    )


def _published(args: argparse.Namespace) -> dict[Path, str]:
    """The entries of the crate: results of the run below its folder, each with a description."""
    found = {
        args.out / "index.html": "The page: figures, tables and their meaning",
        args.out / "figures": "The figures as SVG and PDF",
        args.out / "tables": "The tables as CSV and LaTeX",
        args.evaluation / "structures.parquet": "One row per sampled structure, with every number",
        args.evaluation / "summary.json": "Fractions and means of each policy with intervals",
    }
    for policy, history in args.histories:
        for path, what in (
            (history, "course of the training"),
            (history.with_name(WEIGHTS), "weights"),
            (history.with_name("model.json"), "architecture"),
        ):
            if path.is_file():
                found[path] = f"{policy}: {what}"
    for policy, path in args.crystals:
        found[path] = f"{policy}: the crystals of every step of RL fine-tuning"
    inside = args.out.parent
    return {path: what for path, what in found.items() if path.is_relative_to(inside)}


def latex(table: pd.DataFrame) -> str:
    """A table as ``tabular`` of LaTeX with the rules of booktabs; numbers to four digits."""
    text = table.to_latex(index=False, escape=True, na_rep="", float_format="{:.4g}".format)
    return f"% needs \\usepackage{{booktabs}}\n{text}"


def _named_file(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} must be POLICY=FILE")
    return name, Path(path)


def _histories(files: Sequence[tuple[str, Path]]) -> dict[str, list[pd.DataFrame]]:
    tables: dict[str, list[pd.DataFrame]] = {}
    for name, path in files:
        tables.setdefault(name, []).append(read_table(path))
    return tables


def _crystals(files: Sequence[tuple[str, Path]]) -> dict[str, pd.DataFrame]:
    """The crystals of each branch, of all its rounds."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for name, path in files:
        table = read_table(path)
        columns = [column for column in discovery.NEEDED if column in table]
        tables.setdefault(name, []).append(table[columns])
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}


def _known(path: Path | None, table: pd.DataFrame) -> pd.DataFrame | None:
    """The crystals of the dataset that are shown next to structures."""
    if path is None:
        return None
    return read_rows(path, "id", {name for name in neighbours.ids(table) if name is not None})


def _records(paths: Sequence[Path]) -> Mapping[str, Mapping[str, Any]]:
    """The records by label: their path below the folder they have in common."""
    if not paths:
        return {}
    common = os.path.commonpath([path.parent.parent for path in paths])
    return {_label(path, Path(common)): read_json(path) for path in paths}


def _label(path: Path, common: Path) -> str:
    """``relax/base/shard-0000`` of ``…/relax/base/shard-0000.provenance.json``."""
    folder = path.parent.relative_to(common)
    shard = path.name.removesuffix("provenance.json").removesuffix(".")
    return str(folder / shard) if shard else str(folder)
