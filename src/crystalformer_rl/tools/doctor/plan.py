"""The requests of the jobs of a run to a cluster, by Snakemake's own plan.

Rules and profile are templates that only Snakemake can fill in. Run as a program, this module is
``snakemake`` with its arguments, which prints what the planned jobs ask for as JSON.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystalformer_rl.tools.doctor.slurm import gpus

LINES = 20
# They run on the machine that submits.
LOCAL_RULES = ("all", "download")


@dataclass(frozen=True)
class Request:
    """The requests of the jobs of a rule; None is left to the cluster.

    Attributes
    ----------
    minutes
        Time limit.
    mem_mb
        Memory on each node.
    cpus, gpus
        On each node.
    """

    rule: str
    partition: str | None = None
    account: str | None = None
    minutes: int | None = None
    mem_mb: int | None = None
    cpus: int = 1
    gpus: int = 0
    gpu_model: str | None = None
    nodes: int = 1


@dataclass(frozen=True)
class Plan:
    """The requests, each once, or why there is no plan."""

    requests: tuple[Request, ...]
    error: str = ""


def plan(*, profile: Path | None, config_files: Sequence[Path], attempt: int = 1) -> Plan:
    """Ask Snakemake in this folder what it would submit if nothing had been computed.

    ``attempt``: of every job; later ones may ask for more.
    """
    words = [sys.executable, "-m", __name__, "--dry-run", "--forceall", f"--attempt={attempt}"]
    if profile is not None:
        words += ["--profile", str(profile)]
    if config_files:
        words += ["--configfile", *map(str, config_files)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return Plan((), reason(done.stderr) or f"snakemake ended with {done.returncode}")
    jobs = json.loads(done.stdout.splitlines()[-1])
    return Plan(tuple(dict.fromkeys(request(job["rule"], job["resources"]) for job in jobs)))


def reason(said: str) -> str:
    """Why Snakemake ended, by what it printed; of a traceback only the error itself."""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("Using ")]
    frames = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    if frames:
        lines = [line for line in lines[frames[-1] :] if not line.startswith(" ")]
    return "\n".join(lines[-LINES:])


def request(rule: str, resources: Mapping[str, Any]) -> Request:
    """The request of a job by its resources as Snakemake names them."""
    nodes = _number(resources.get("nodes")) or 1
    number, model = _number(resources.get("gpu")) or 0, resources.get("gpu_model") or None
    for kind, each in gpus(str(resources.get("gres") or "")):
        number, model = nodes * each, kind or model
    cpus = _number(resources.get("cpus_per_task")) or _number(resources.get("_cores")) or 1
    tasks = _number(resources.get("tasks")) or 1
    return Request(
        rule=rule,
        partition=str(resources.get("slurm_partition") or "") or None,
        account=str(resources.get("slurm_account") or "") or None,
        minutes=_number(resources.get("runtime")),
        mem_mb=_number(resources.get("mem_mb")),
        cpus=cpus * -(-tasks // nodes),
        gpus=-(-number // nodes),
        gpu_model=model,
        nodes=nodes,
    )


def _number(value: Any) -> int | None:
    """A whole number, or None for what is not known before the job runs."""
    return int(value) if str(value).isdecimal() else None


def print_plan(words: Sequence[str]) -> None:
    """Run Snakemake with ``words``, among them ``--dry-run``, and print the jobs it plans."""
    # Its import fails where SLURM is installed in part, which is a finding and not our end.
    from snakemake.cli import main  # noqa: PLC0415
    from snakemake.logging import logger  # noqa: PLC0415

    jobs: list[dict[str, Any]] = []

    def keep(record: logging.LogRecord) -> bool:
        if getattr(getattr(record, "event", None), "value", None) == "job_info":
            job: Any = record
            if job.rule_name not in LOCAL_RULES:
                jobs.append({"rule": job.rule_name, "resources": dict(job.resources.items())})
        elif record.levelno >= logging.ERROR:
            sys.stderr.write(f"{record.getMessage()}\n")
        return False

    # A filter, because Snakemake replaces the handlers.
    logger.addFilter(keep)
    try:
        main(words)
    except SystemExit as end:
        if end.code:
            raise
    sys.stdout.write("\n" + json.dumps(jobs, default=str) + "\n")


if __name__ == "__main__":
    print_plan(sys.argv[1:])
