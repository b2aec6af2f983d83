"""How to cite a run: one line about code, data and method, and BibTeX from ``CITATION.cff``."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml

from crystalformer_rl.config.potentials import title
from crystalformer_rl.manifest import DOWNLOADS, MANIFEST, read_manifest
from crystalformer_rl.report.run import Run
from crystalformer_rl.shipped import CITATION

EMBEDDED = "resources/mp20/crystals.parquet"
OF_EMBEDDED = (
    "MP-20, reconstructed train, official val and test: Jain et al., APL Mater. 1, 011002 (2013); "
    "Xie et al., ICLR 2022, arXiv:2110.06197"
)
METHOD = "Cao & Wang, arXiv:2504.02367"
DIGITS = 12
"""Of a commit or a checksum, which are shortened to be read."""

Work = Mapping[str, Any]
"""An entry of CITATION.cff: the software itself, or one of its references."""


def read_citation() -> Work:
    """The contents of ``CITATION.cff``."""
    found: Work = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    return found


def line(run: Run) -> str:
    """The run in one line: code, data, potentials and method."""
    config = run.config
    started = sorted(str(one["started"]) for one in run.provenance.values() if one.get("started"))
    date = f", {started[-1][:10]}" if started else ""
    potentials = f"Relaxed with {title(config.relax.potential)}"
    if config.judge.potential is not None:
        potentials += f", judged by {title(config.judge.potential)}"
    parts = [
        f"{config.report.title}: run {config.run}, seed {config.seed}{date}",
        _software(read_citation(), run),
        *_data(run),
        potentials,
        f"Method: {METHOD}",
    ]
    return ". ".join(parts) + "."


def bibtex(citation: Work) -> str:
    """The software and its references as BibTeX."""
    works = [citation, *citation.get("references", [])]
    return "\n\n".join(_entry(work) for work in works)


def _software(citation: Work, run: Run) -> str:
    commits = sorted(
        {str(one["git_commit"]) for one in run.provenance.values() if one.get("git_commit")}
    )
    shortened = [commit[:DIGITS] + "-dirty" * commit.endswith("-dirty") for commit in commits]
    commit = f", commit {', '.join(shortened)}" if commits else ""
    return f"{citation['title']}, version {citation['version']}{commit}"


def _data(run: Run) -> list[str]:
    """The files of the dataset with checksum, and the works that they are to be cited by."""
    records = [one for one in run.provenance.values() if one["stage"] == "dataset"]
    files = [one for record in records for part in record["inputs"].values() for one in part]
    if not files:
        return []
    works = dict.fromkeys(work for one in files if (work := _cited(str(one["path"]))))
    names = ", ".join(
        f"{PurePath(one['path']).name} (SHA-256 {one['sha256'][:DIGITS]})" for one in files
    )
    return [f"Data: {'; '.join([*works, names])}"]


def _cited(path: str) -> str | None:
    """The citation of a file of the dataset; None for a file of the user."""
    if path.endswith(EMBEDDED):
        return OF_EMBEDDED
    _, place, key = path.rpartition(DOWNLOADS)
    entry = read_manifest(MANIFEST).get(key) if place else None
    return None if entry is None else entry.citation


def _entry(work: Work) -> str:
    people = [_name(one) for one in work["authors"]]
    fields = {
        "author": " and ".join(people),
        "title": f"{{{work['title']}}}",
        **{name: work[name] for name in ("version", "journal", "volume", "year") if name in work},
        "pages": work.get("start", ""),
        "note": ", ".join(one["value"] for one in work.get("identifiers", [])),
    }
    kind = "article" if work["type"] == "article" else "misc"
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{_key(work)},", *lines, "}"])


def _key(work: Work) -> str:
    """Family name of the first author, year, first word of the title: ``Cao2025Space``."""
    first = work["authors"][0].get("family-names", "")
    return f"{first}{work.get('year', '')}{re.findall(r'[A-Za-z]+', work['title'])[0]}"


def _name(person: Mapping[str, str]) -> str:
    if "name" in person:
        return f"{{{person['name']}}}"
    return f"{person['family-names']}, {person['given-names']}"
