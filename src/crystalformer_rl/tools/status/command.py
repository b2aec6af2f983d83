"""``status``: show the progress of a run, from its files alone.

examples:
  the newest run of this folder
    crystalformer-rl status
  a run by its name, again every ten seconds
    crystalformer-rl status mp20 --watch
  a page that renews itself in the browser, written as long as the run goes on
    crystalformer-rl status mp20 --watch --html status.html
  for a script
    crystalformer-rl status mp20 --json

It reads what the jobs wrote, so that it works on a login node while they run elsewhere. It does not
know what is out of date: `snakemake -n` lists that, with the reasons.
"""

import argparse
import json
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, select_autoescape

from crystalformer_rl.config import read
from crystalformer_rl.files import read_json, write_text
from crystalformer_rl.layout import RESULTS, SETTINGS, Layout, started_runs
from crystalformer_rl.stages import options as flags
from crystalformer_rl.tools.status.jobs import STATES, Seen, jobs, look

SECONDS = 10.0
BEST = 5
COLUMNS = ["policy", "id", "formula", "e_above_hull", "valid", "stable", "novel"]
CLEAR = "\x1b[2J\x1b[H"


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes
    ----------
    stages
        The jobs of each stage and policy, in the order of the pipeline.
    best
        Of the crystals that are assessed, the stable, valid and novel ones of lowest energy above
        hull, eV/atom.
    """

    run: str
    stages: dict[str, list[Seen]]
    best: list[dict[str, Any]]

    @property
    def seen(self) -> list[Seen]:
        """All jobs."""
        return [one for found in self.stages.values() for one in found]

    @property
    def counts(self) -> Counter[str]:
        """Jobs by state."""
        return Counter(one.state for one in self.seen)

    @property
    def finished(self) -> bool:
        """Whether every job is done."""
        return self.counts["done"] == len(self.seen)

    @property
    def next(self) -> str:
        """What to do next."""
        counts = self.counts
        if self.finished:
            return f"The run is finished: open {RESULTS}/{self.run}/report/index.html."
        if counts["failed"]:
            return (
                "Read the log of what failed, mend it, and run the same `snakemake` command again: "
                "it continues from here."
            )
        if counts["running"]:
            return "Wait; `crystalformer-rl status --watch` follows."
        return (
            "No job is running, as far as the files show: the same `snakemake` command continues."
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    flags.add_examples(parser, __doc__)
    parser.add_argument(
        "name", nargs="?", metavar="RUN", help="name of the run (default: the newest one here)"
    )
    parser.add_argument(
        "--watch", action="store_true", help=f"again every {SECONDS:.0f} s, until it is finished"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page instead")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    """Print the progress of the run.

    Raises
    ------
    FileNotFoundError
        If there is no such run; the message lists those that there are.
    """
    name = args.name or newest()
    while True:
        found = status(name)
        show(found, html=args.html, as_json=args.json, clear=args.watch and sys.stdout.isatty())
        if not args.watch or found.finished:
            return
        time.sleep(SECONDS)


def newest() -> str:
    """The name of the run that was started last."""
    runs = started_runs()
    if not runs:
        raise FileNotFoundError(
            f"{RESULTS}/: no run here; start one with `snakemake`, or go to the folder in which it "
            "was started"
        )
    return runs[-1].parent.name


def status(name: str) -> Status:
    """The progress of a run."""
    path = Path(RESULTS) / name / SETTINGS
    if not path.is_file():
        names = ", ".join(run.parent.name for run in started_runs())
        raise FileNotFoundError(f"{path}: no run {name!r} here; there is {names or 'none'}")
    saved = read_json(path)
    layout = Layout(read(saved["config"]), saved["base_policy"])
    stages: dict[str, list[Seen]] = {}
    started = path.stat().st_mtime
    for job in jobs(layout):
        stages.setdefault(job.stage, []).append(look(job, since=started))
    return Status(name, stages, best(layout))


def best(layout: Layout) -> list[dict[str, Any]]:
    """See :class:`Status`."""
    rows: list[dict[str, Any]] = []
    for path in map(Path, layout.evaluated("assess")):
        if path.exists():
            table = pq.read_table(path)
            rows += table.select([one for one in COLUMNS if one in table.column_names]).to_pylist()
    good = [row for row in rows if row["stable"] and row["valid"] and row["novel"]]
    return sorted(good, key=lambda row: float(row["e_above_hull"]))[:BEST]


def show(found: Status, *, html: Path | None, as_json: bool, clear: bool) -> None:
    """Print it, or write the page."""
    if html is not None:
        loader = PackageLoader("crystalformer_rl.tools.status", ".")
        environment = Environment(loader=loader, autoescape=select_autoescape())
        page = environment.get_template("status.html").render(
            status=found, states=STATES, lines=list(map(line, found.stages, found.stages.values())),
            seconds=SECONDS, now=time.strftime("%Y-%m-%d %H:%M:%S"),
        )  # fmt: skip
        write_text(html, page)
        print(f"{html}: {summary(found)}")
    elif as_json:
        print(json.dumps(as_plain(found), indent=2))
    else:
        print((CLEAR if clear else "") + "\n".join(text(found)))


def summary(found: Status) -> str:
    """The counts in one line."""
    counts = found.counts
    others = [f"{counts[state]} {state}" for state in STATES if state != "done" and counts[state]]
    return ", ".join([f"{counts['done']} of {len(found.seen)} jobs done", *others])


def line(stage: str, seen: Sequence[Seen]) -> dict[str, str]:
    """The row of a stage: its name, its state, and how far its running jobs are."""
    counts = Counter(one.state for one in seen)
    state = next(
        one for one in ("failed", "running", "stopped", "silent", "waiting", "done") if counts[one]
    )
    if state == "waiting" and counts["done"]:
        state = "partly done"
    details = []
    for one in seen:
        if one.state in ("running", "silent", "stopped"):
            parts = [
                one.job.name if len(seen) > 1 else "",
                f"{one.done} of {one.total}" if one.total else "",
                f"{one.left} left" if one.left and one.state == "running" else "",
                one.value or "",
            ]
            details.append(", ".join(filter(None, parts)))
    return {
        "stage": stage,
        "done": f"{counts['done']}/{len(seen)}",
        "state": state,
        "details": "; ".join(filter(None, details)),
    }


def text(found: Status) -> list[str]:
    """The lines for a terminal."""
    rows = list(map(line, found.stages, found.stages.values()))
    width = max(len(row["stage"]) for row in rows)
    lines = [f"Run {found.run}: {summary(found)}", ""]
    for row in rows:
        if row["state"] == "waiting":
            continue
        words = f"{row['stage']:<{width}}  {row['done']:>7}  {row['state']:<11}  {row['details']}"
        lines.append(words.rstrip())
    if waiting := [row["stage"] for row in rows if row["state"] == "waiting"]:
        lines += ["", *textwrap.wrap(f"Not begun: {', '.join(waiting)}", 100)]
    for one in found.seen:
        if one.state == "failed":
            lines += ["", f"Failed: {one.job.name}: {one.message}", f"  log: {one.job.log}"]
    if found.best:
        lines += ["", "Best so far (stable, valid and novel; E_hull in eV/atom):"]
        for row in found.best:
            lines.append(f"  {row['e_above_hull']:8.3f}  {row['formula']:<16} {row['id']}")
    return [*lines, "", found.next]


def as_plain(found: Status) -> dict[str, Any]:
    """The status, ready for JSON."""
    listed = [
        asdict(one) | {"job": one.job.name, "stage": one.job.stage, "log": str(one.job.log)}
        for one in found.seen
    ]
    return {
        "run": found.run,
        "counts": dict(found.counts),
        "finished": found.finished,
        "jobs": listed,
        "best": found.best,
        "next": found.next,
    }
