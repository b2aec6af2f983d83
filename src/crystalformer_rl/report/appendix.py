"""The sections behind the results: training, failures, provenance, settings, definitions."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from crystalformer_rl.config import Config
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import EHULL, MISSING, Section, escape, number

PAPER = '<a href="https://arxiv.org/abs/2504.02367">arXiv:2504.02367</a>'
_REASONS = 60
_REASON_LENGTH = 160

Record = Mapping[str, Any]


def training(drawn: Mapping[str, str]) -> Section:
    """Loss curves of the likelihood stages."""
    if "losses" not in drawn:
        return Section("training", "Training losses", "<p>No training history was given.</p>")
    body = markup.picture(
        "losses",
        drawn["losses"],
        label="Training and validation loss against epoch",
        caption="Negative log-likelihood per crystal given its space group: letters, elements, "
        "free coordinates and free lattice parameters together, in nats; densities make it "
        "possible for it to be negative. The dashed line is the validation loss before the first "
        "step: of the untrained network for pretraining.",
    )
    return Section("training", "Training losses", body)


def reinforcement(drawn: Mapping[str, str], branches: Sequence[str]) -> Section:
    """Course of the RL branches: the three watched quantities, then everything else."""
    if not branches:
        body = "<p>No history of a reinforcement branch was given.</p>"
        return Section("reinforcement", "Course of reinforcement", body)
    body = markup.picture(
        "rl-overview",
        drawn["rl-overview"],
        label="Mean energy above hull, KL divergence and uniqueness against PPO step",
        caption="Per PPO step, of the batch that was drawn: mean energy above hull of the "
        "crystals that could be scored (unrelaxed), divergence from the base policy (the mean of "
        "ln p − ln p<sub>base</sub>, what τ multiplies), and the fraction of the batch that is "
        "unique. A ring marks the first step of a round. Falling uniqueness is a collapse, "
        "whatever the reward says.",
    )
    for branch in branches:
        caption = (
            f"Everything else recorded of {escape(branch)}; the grey line is the running baseline."
        )
        name = f"details-{branch}"
        body += markup.picture(name, drawn[name], label=f"Details of {branch}", caption=caption)
    return Section("reinforcement", "Course of reinforcement", body)


def failures(ledger: pd.DataFrame) -> Section:
    """The failure ledger."""
    if ledger.empty:
        return Section("failures", "Failure ledger", "<p>Nothing failed.</p>")
    shown = ledger.head(_REASONS)
    rows = [
        [
            escape(row["policy"]), escape(row["stage"]), escape(row["reason"][:_REASON_LENGTH]),
            f"{row['count']}/{row['sampled']}", markup.percent(row["count"] / row["sampled"]),
        ]
        for row in shown.to_dict("records")
    ]  # fmt: skip
    body = markup.table(
        ["policy", "stage", "reason", "structures", "share"], rows, kind="words",
        caption="Every structure that fell short of a full verdict, by reason. One structure can "
        f"stand in several lines. None of them left a denominator. {len(shown)} of "
        f"{len(ledger)} lines; all of them stand in tables/failures.csv.",
    )  # fmt: skip
    return Section("failures", "Failure ledger", body)


def jobs_table(provenance: Mapping[str, Record]) -> pd.DataFrame:
    """One row per job, from its provenance record; for the page and for a CSV."""
    rows = []
    for label, record in provenance.items():
        counts = record.get("counts") or {}
        rows.append(
            {
                "job": label,
                "stage": record.get("stage"),
                "device": record.get("device"),
                "wall_s": record.get("wall_s"),
                "peak_memory_mib": record.get("peak_memory_mib"),
                "gpu_memory_mib": record.get("gpu_memory_mib", counts.get("gpu_memory_mib")),
                "items": counts.get("items"),
                "seed": record.get("seed"),
                "code": record.get("code"),
                "git_commit": record.get("git_commit"),
                "python": record.get("python"),
                "packages": json.dumps(record.get("packages") or {}, sort_keys=True),
                "platform": record.get("platform"),
            }
        )
    columns = (
        "job", "stage", "device", "wall_s", "peak_memory_mib", "gpu_memory_mib", "items", "seed",
        "code", "git_commit", "python", "packages", "platform",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def provenance(jobs: pd.DataFrame, records: Mapping[str, Record], config: Config) -> Section:
    """Cost per stage, software, the raw records and the whole configuration."""
    groups: dict[str, list[int]] = {}
    for place, job in enumerate(jobs["job"]):
        groups.setdefault(_group(str(job)), []).append(place)
    rows = [_stage_row(name, jobs.iloc[places]) for name, places in groups.items()]
    headings = [
        "stage", "jobs", "device", "wall time", "peak memory", "GPU memory", "items/s", "code",
        "seed",
    ]  # fmt: skip
    body = markup.table(
        headings, rows,
        caption="Cost and identity of every stage: wall time summed over its jobs, host memory of "
        "its largest job (MiB), items per second of wall time within a job, fingerprint of the "
        "source that the stage depends on, derived seed of its first job.",
    )  # fmt: skip
    body += _software(jobs)
    body += (
        "<details><summary>The whole configuration</summary>"
        f"{_json(config.model_dump(mode='json'))}</details><h3>Records</h3>"
    )
    for name, places in groups.items():
        job = str(jobs.iloc[places[0]]["job"])
        more = f", the first of {len(places)} records" if len(places) > 1 else ""
        body += f"<details><summary>{escape(name)}{more}</summary>{_json(records[job])}</details>"
    return Section("provenance", "Provenance", body)


def reading(config: Config) -> Section:
    """Definitions, and how the figures answer to the paper's."""
    e, stable = config.evaluate, config.evaluate.stable_below
    terms = {
        f"Energy above hull ({EHULL})": "formation energy per atom minus that of the cheapest "
        "mixture of known phases of the same composition; negative below the reference hull.",
        "Stable": f"relaxed, with {EHULL} below {stable:g} eV/atom, hence metastable ones too; one "
        "that ran out of steps is judged as it stands.",
        "Unique, novel": "by pymatgen's StructureMatcher (ltol "
        f"{e.length_tolerance:g}, stol {e.site_tolerance:g}, angle_tol {e.angle_tolerance:g}°) "
        "within a reduced formula: no earlier sample of the policy, no crystal of the dataset.",
        "S.U.N.": "stable, unique and novel; the denominator is everything that was sampled.",
        "S.U.N., supported": "S.U.N. structures whose stability a known compound of their chemical "
        "system puts to the test, and that are not suspiciously deep below the hull; the same "
        "denominator.",
        "KL": "mean of ln p − ln p<sub>base</sub> over crystals drawn from the policy, given the "
        "space group, in nats per crystal.",
        "Figure of merit": "band gap (eV) × electronic dielectric constant, both predicted.",
    }
    paper = (
        (
            "Energy above hull",
            f"histogram of {EHULL} of the base and the fine-tuned policy",
            "the judge is Orb-v2 on the Alexandria hull; the base policy has 4.8 million "
            "parameters and was trained on Alex-20",
        ),
        (
            "Course of reinforcement",
            f"mean {EHULL} and KL against step",
            "100 to 200 steps of 1000 crystals each",
        ),
        (
            "S.U.N. by space group",
            "S.U.N. per space group",
            "its 14 groups are 1, 2, 6, 15, 38, 71, 119, 131, 143, 159, 187, 194, 204 and 216",
        ),
        (
            "Band gap and dielectric constant",
            "band gap against dielectric constant with lines of equal figure of merit",
            "trained and shown in space group 225 only; stability was filtered afterwards",
        ),
    )
    mapping = markup.table(
        ["this page", "figure of the paper", "what differs there"],
        paper,
        kind="words",
        caption=f"Which section answers to which figure of Cao &amp; Wang, {PAPER}. The shapes "
        "can be compared, the values only where potential, hull, data and model are the same.",
    )
    listed = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in terms.items())
    return Section("reading", "Definitions, and the paper", f"<dl>{listed}</dl>{mapping}")


def _group(job: str) -> str:
    """The stage that a job is a shard of."""
    return job.rsplit("/shard-", 1)[0]


def _stage_row(name: str, rows: pd.DataFrame) -> list[str]:
    def column(key: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return pd.to_numeric(rows[key], errors="coerce").to_numpy(dtype=np.float64)

    wall, items = column("wall_s"), column("items")
    timed = np.isfinite(items) & np.isfinite(wall) & (wall > 0)
    rate = float(items[timed].sum() / wall[timed].sum()) if timed.any() else None
    return [
        escape(name),
        f"{len(rows)}",
        ", ".join(sorted({escape(device) for device in rows["device"] if device})) or MISSING,
        _duration(float(np.nansum(wall))),
        number(_highest(column("peak_memory_mib")), 0),
        number(_highest(column("gpu_memory_mib")), 0),
        MISSING if rate is None else f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}",
        ", ".join(
            f"<code>{escape(code)}</code>" for code in sorted({c for c in rows["code"] if c})
        ),
        MISSING if rows["seed"].iloc[0] is None else escape(rows["seed"].iloc[0]),
    ]


def _software(jobs: pd.DataFrame) -> str:
    commits = sorted({str(commit) for commit in jobs["git_commit"] if commit})
    lines = [f"Commit: {', '.join(f'<code>{escape(c)}</code>' for c in commits) or 'unknown'}."]
    if any(commit.endswith("-dirty") for commit in commits):
        lines.append("The checkout held changes that are in no commit.")
    sets: dict[tuple[str, str, str], list[str]] = {}
    for job in jobs.to_dict("records"):
        key = (str(job["python"]), str(job["packages"]), str(job["platform"]))
        sets.setdefault(key, []).append(str(job["job"]))
    for (python, packages, platform), names in sets.items():
        listed = ", ".join(f"{escape(k)} {escape(v)}" for k, v in json.loads(packages).items() if v)
        where = "" if len(sets) == 1 else f" ({escape(', '.join(names))})"
        lines.append(f"Python {escape(python)} on {escape(platform)}: {listed}{where}.")
    return "".join(f"<p>{line}</p>" for line in lines)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f}&#8239;s"
    return f"{seconds / 60:.1f}&#8239;min" if seconds < 7200 else f"{seconds / 3600:.1f}&#8239;h"


def _highest(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else None


def _json(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))}</pre>"
