"""Metadata of a run as RO-Crate 1.1 (https://w3id.org/ro/crate/1.1), to publish its folder with."""

from collections.abc import Mapping
from typing import Any

from crystalformer_rl.report.run import Run

NAME = "ro-crate-metadata.json"
PAPER = "https://doi.org/10.48550/arXiv.2504.02367"
FORMATS = {
    ".html": "text/html", ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json", ".safetensors": "application/octet-stream",
}  # fmt: skip
LICENCE = {
    "@id": "#licence",
    "@type": "CreativeWork",
    "name": "No licence has been chosen",
    "description": "Whoever publishes this folder chooses the licence and names it here. The "
    "licences of the dataset and of the potentials apply to what was made with them.",
}


def crate(run: Run, *, description: str, files: Mapping[str, str]) -> dict[str, Any]:
    """The metadata, ready for JSON.

    Parameters
    ----------
    run
        What was run. Its latest job gives the date, so that a second report is the same.
    description
        What was run, in one line.
    files
        What each file or folder in the crate is, by its path in it; a folder ends in ``/``.
    """
    started = sorted(str(one["started"]) for one in run.provenance.values() if one.get("started"))
    commits = sorted(
        {str(one["git_commit"]) for one in run.provenance.values() if one.get("git_commit")}
    )
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{run.config.report.title}: run {run.config.run}",
        "description": description,
        "license": {"@id": LICENCE["@id"]},
        "citation": {"@id": PAPER},
        "hasPart": [{"@id": path} for path in files],
        "mentions": {"@id": "#run"},
        **({"datePublished": started[-1][:10]} if started else {}),
    }
    action = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run {run.config.run} of the workflow, seed {run.config.seed}",
        "instrument": {"@id": "#workflow"},
        "result": [{"@id": path} for path in files],
        **({"startTime": started[0]} if started else {}),
    }
    workflow = {
        "@id": "#workflow",
        "@type": ["SoftwareSourceCode", "SoftwareApplication"],
        "name": "CrystalFormer-RL as a Snakemake workflow",
        "programmingLanguage": "Python, Snakemake",
        **({"version": ", ".join(commits)} if commits else {}),
    }
    paper = {
        "@id": PAPER,
        "@type": "ScholarlyArticle",
        "name": "CrystalFormer-RL: Reinforcement Fine-Tuning for Materials Design",
    }
    metadata = {
        "@id": NAME,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    parts = [_part(path, what) for path, what in files.items()]
    return {
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": [metadata, root, *parts, action, workflow, paper, LICENCE],
    }


def _part(path: str, what: str) -> dict[str, Any]:
    if path.endswith("/"):
        return {"@id": path, "@type": "Dataset", "name": path, "description": what}
    suffix = path[path.rindex(".") :]
    return {
        "@id": path,
        "@type": "File",
        "name": path.rsplit("/", 1)[-1],
        "description": what,
        **({"encodingFormat": FORMATS[suffix]} if suffix in FORMATS else {}),
    }
