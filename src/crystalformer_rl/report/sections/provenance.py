"""How to cite the run, cost and identity of every job, software, records and configuration."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from crystalformer_rl.report import citation, markup
from crystalformer_rl.report.markup import MISSING, Section, number, pretty_json
from crystalformer_rl.report.run import Record, Run

COLUMNS = (
    "job", "stage", "device", "wall_s", "peak_memory_mib", "gpu_memory_mib", "items", "seed",
    "code", "git_commit", "python", "packages", "platform",
)  # fmt: skip


def section(run: Run) -> Section:
    """How to cite the run, a row per stage, then software, configuration and records."""
    jobs = jobs_table(run.provenance)
    groups: dict[str, list[int]] = {}
    for place, job in enumerate(jobs["job"]):
        groups.setdefault(str(job).rsplit("/shard-", 1)[0], []).append(place)
    body = markup.piece("copied", "How to cite", "cite-line", citation.line(run), True)
    body += markup.piece(
        "copied", "BibTeX of the software and its methods", "cite-bibtex",
        citation.bibtex(citation.read_citation()), False,
    )  # fmt: skip
    body += markup.table(
        ["stage", "jobs", "device", "wall time", "peak memory", "GPU memory", "items/s", "code",
         "seed"],
        [_row(stage, jobs.iloc[places]) for stage, places in groups.items()],
        caption="Cost and identity of every stage: wall time summed over its jobs, host memory of "
        "its largest job (MiB), items per second of wall time within a job, fingerprint of the "
        "source that the stage depends on, derived seed of its first job.",
    )  # fmt: skip
    body += markup.piece("paragraphs", _software(jobs))
    config = pretty_json(run.config.model_dump(mode="json"))
    body += markup.piece("details", "The whole configuration", config)
    body += Markup("<h3>Records</h3>")
    for stage, places in groups.items():
        more = f", the first of {len(places)} records" if len(places) > 1 else ""
        record = pretty_json(run.provenance[str(jobs.iloc[places[0]]["job"])])
        body += markup.piece("details", stage + more, record)
    return Section("provenance", "Provenance", body, tables={"jobs": jobs})


def jobs_table(provenance: Mapping[str, Record]) -> pd.DataFrame:
    """One row per job, from its provenance record; for the page and for a CSV."""
    rows = []
    for label, record in provenance.items():
        counts = record.get("counts") or {}
        rows.append(
            {
                **{name: record.get(name) for name in COLUMNS},
                "job": label,
                "gpu_memory_mib": record.get("gpu_memory_mib", counts.get("gpu_memory_mib")),
                "items": counts.get("items"),
                "packages": json.dumps(record.get("packages") or {}, sort_keys=True),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def _row(stage: str, rows: pd.DataFrame) -> list[str]:
    def column(key: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return pd.to_numeric(rows[key], errors="coerce").to_numpy(dtype=np.float64)

    wall, items = column("wall_s"), column("items")
    timed = np.isfinite(items) & np.isfinite(wall) & (wall > 0)
    rate = float(items[timed].sum() / wall[timed].sum()) if timed.any() else None
    seed = rows["seed"].iloc[0]
    return [
        stage,
        f"{len(rows)}",
        ", ".join(sorted({str(device) for device in rows["device"] if device})) or MISSING,
        _duration(float(np.nansum(wall))),
        number(_highest(column("peak_memory_mib")), 0),
        number(_highest(column("gpu_memory_mib")), 0),
        MISSING if rate is None else f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}",
        _code({code for code in rows["code"] if code}),
        MISSING if seed is None else str(seed),
    ]


def _software(jobs: pd.DataFrame) -> list[str]:
    commits = {str(commit) for commit in jobs["git_commit"] if commit}
    lines: list[str] = [Markup("Commit: {}.").format(_code(commits) if commits else "unknown")]
    if any(commit.endswith("-dirty") for commit in commits):
        lines.append("The checkout had uncommitted changes.")
    sets: dict[tuple[str, str, str], list[str]] = {}
    for job in jobs.to_dict("records"):
        key = (str(job["python"]), str(job["packages"]), str(job["platform"]))
        sets.setdefault(key, []).append(str(job["job"]))
    for (python, packages, platform), names in sets.items():
        listed = ", ".join(f"{name} {v}" for name, v in json.loads(packages).items() if v)
        where = "" if len(sets) == 1 else f" ({', '.join(names)})"
        lines.append(f"Python {python} on {platform}: {listed}{where}.")
    return lines


def _code(words: set[str]) -> Markup:
    return Markup(", ").join(Markup("<code>{}</code>").format(word) for word in sorted(words))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f}\u202fs"
    return f"{seconds / 60:.1f}\u202fmin" if seconds < 7200 else f"{seconds / 3600:.1f}\u202fh"


def _highest(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else None
