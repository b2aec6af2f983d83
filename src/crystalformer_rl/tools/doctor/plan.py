"""What the jobs of a run would ask of a cluster, by Snakemake's own plan (:mod:`.planner`)."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLANNER = "crystalformer_rl.tools.doctor.planner"
LINES = 20


@dataclass(frozen=True)
class Request:
    """What the jobs of a rule ask for; None is what they leave to the cluster.

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
    words = [sys.executable, "-m", PLANNER, "--dry-run", "--forceall", f"--attempt={attempt}"]
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
    gpus, model = _number(resources.get("gpu")) or 0, resources.get("gpu_model") or None
    if gres := str(resources.get("gres") or ""):
        kind, *rest = gres.split(":")
        if kind == "gpu":
            gpus = nodes * (int(rest[-1]) if rest and rest[-1].isdecimal() else 1)
            model = rest[0] if rest and not rest[0].isdecimal() else model
    cpus = _number(resources.get("cpus_per_task")) or _number(resources.get("_cores")) or 1
    tasks = _number(resources.get("tasks")) or 1
    return Request(
        rule=rule,
        partition=str(resources.get("slurm_partition") or "") or None,
        account=str(resources.get("slurm_account") or "") or None,
        minutes=_number(resources.get("runtime")),
        mem_mb=_number(resources.get("mem_mb")),
        cpus=cpus * -(-tasks // nodes),
        gpus=-(-gpus // nodes),
        gpu_model=model,
        nodes=nodes,
    )


def _number(value: Any) -> int | None:
    """A whole number, or None for what is not known before the job runs."""
    return int(value) if str(value).isdecimal() else None
