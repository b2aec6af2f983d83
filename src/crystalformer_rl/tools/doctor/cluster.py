"""A cluster as it answers: partitions, accounting, the accounts of a profile."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crystalformer_rl.tools.doctor.findings import Finding, place
from crystalformer_rl.tools.doctor.names import user
from crystalformer_rl.tools.doctor.plan import Request
from crystalformer_rl.tools.doctor.slurm import Node

QUEUE = "%j|%k|%Z"
"""``squeue``'s format of :func:`drivers`: name, comment, working directory."""
SECONDS = 60
JOB_AGE_SECONDS = 120
PROFILES = Path("workflow/profiles")
FILES = ("profile*.yaml", "config*.yaml")
STATUS_COMMANDS = ("squeue", "sacct")
"""Where ``sinfo`` is installed, Snakemake does not even start without one of these."""


@dataclass(frozen=True)
class Answer:
    """What a command of SLURM answered."""

    ok: bool
    text: str
    installed: bool = True


def ask(*words: str) -> Answer:
    """Run a command of Slurm; one that is missing or hangs has failed."""
    if shutil.which(words[0]) is None:
        return Answer(ok=False, text=f"{words[0]} is not installed here", installed=False)
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return Answer(ok=False, text=f"{words[0]} did not answer within {SECONDS} s")
    text = done.stdout if done.returncode == 0 else done.stderr or done.stdout
    return Answer(ok=done.returncode == 0, text=text.strip())


def profile_file(name: str) -> Path:
    """The file of a profile, by its folder or by its name in workflow/profiles.

    Raises
    ------
    ValueError
        If there is none.
    """
    if Path(name).is_file():
        return Path(name)
    for folder in (PROFILES / name, Path(name)):
        for pattern in FILES:
            if found := sorted(folder.glob(pattern)):
                return found[-1]
    known = ", ".join(sorted(path.name for path in PROFILES.glob("*")))
    raise ValueError(f"--profile {name}: no such profile; {PROFILES} has {known or 'none'}")


def read_profile(file: Path) -> Mapping[str, Any]:
    """The keys of a profile; those that are templates are left as they stand."""
    return yaml.safe_load(file.read_text(encoding="utf-8")) or {}


def commands(*, submits: bool) -> Iterator[Finding]:
    """The commands of SLURM that Snakemake would call and that are not installed.

    ``submits``: whether the profile submits jobs to SLURM.
    """
    missing = [name for name in ("sbatch", "scancel") if submits and not _installed(name)]
    if not any(map(_installed, STATUS_COMMANDS)) and (submits or _installed("sinfo")):
        missing.append(" or ".join(STATUS_COMMANDS))
    if missing:
        yield Finding(
            "SLURM commands",
            "problem",
            f"not on the PATH, and snakemake needs them: {', '.join(missing)}",
            "put all of SLURM's client commands on the PATH, or no sinfo to run without a cluster",
        )


def _installed(command: str) -> bool:
    return shutil.which(command) is not None


def partitions(nodes: Sequence[Node]) -> Iterator[Finding]:
    """What each partition has."""
    for name in dict.fromkeys(node.partition for node in nodes):
        members = [node for node in nodes if node.partition == name]
        usable = [node for node in members if node.usable]
        limit = _time(members[0].minutes)
        kinds = sorted({f"{n} {m or 'GPU'}" for node in members for m, n in node.gpus})
        words = (
            f"{len(usable)} of {len(members)} nodes take jobs; "
            f"at most {max(node.cpus for node in members)} CPUs, "
            f"{max(node.mem_mb for node in members)} MB and "
            f"{' or '.join(kinds) or 'no GPU'} each; {limit}"
        )
        topic = f"partition {name}" + (" (default)" if members[0].is_default else "")
        yield Finding(topic, "ok" if usable else "warning", words)


def accounting(answer: Answer, *, job_age: str | None, profile: Path) -> Finding:
    """Whether the profile asks for the state of jobs in a way that this cluster answers.

    Parameters
    ----------
    answer
        Of ``sacct -n -X``.
    job_age
        ``MinJobAge`` of the cluster: so long ``squeue`` knows a job that has ended.
    """
    by_squeue = read_profile(profile).get("slurm-status-command") == "squeue"
    if not by_squeue and answer.installed:
        if answer.ok:
            return Finding("accounting", "ok", "sacct answers")
        return Finding(
            "accounting",
            "problem",
            f"sacct: {answer.text.splitlines()[0] if answer.text else 'failed'}; snakemake would "
            "wait for its jobs for ever",
            f"write {place([profile], 'slurm-status-command')} squeue, or add "
            "--slurm-status-command squeue to the command of snakemake",
        )
    seconds = job_age.split()[0] if job_age else ""
    if seconds.isdecimal() and int(seconds) < JOB_AGE_SECONDS:
        return Finding(
            "accounting",
            "problem",
            f"MinJobAge is {seconds} s: squeue forgets jobs before snakemake has asked",
            f"remove {place([profile], 'slurm-status-command')} squeue, since sacct answers"
            if answer.ok
            else f"MinJobAge={JOB_AGE_SECONDS} in slurm.conf",
        )
    also = "; sacct answers too" if answer.ok else ""
    return Finding("accounting", "ok", f"squeue is asked, MinJobAge {job_age or 'unknown'}{also}")


def accounts(requests: Sequence[Request], answer: Answer, *, profile: Path) -> Iterator[Finding]:
    """Whether the accounts of the profile are the user's.

    ``answer``: of ``sacctmgr -n -P show assoc user=NAME format=account``.
    """
    known = answer.text.split()
    for account in dict.fromkeys(request.account for request in requests if request.account):
        if not answer.ok:
            words = (
                f"cannot be checked: {answer.text.splitlines()[0] if answer.text else 'sacctmgr'}"
            )
            yield Finding(f"account {account}", "warning", words)
        elif account in known:
            yield Finding(f"account {account}", "ok", f"{user()} may use it")
        else:
            yield Finding(
                f"account {account}",
                "problem",
                f"{user()} has {', '.join(known) or 'none'}",
                f"slurm_account in {profile}",
            )


def drivers(answer: Answer, *, folder: Path) -> Iterator[Finding]:
    """The drivers whose jobs are in the queue for a folder, alive or dead.

    Parameters
    ----------
    answer
        Of ``squeue -h -o QUEUE``.
    folder
        Where snakemake would run.
    """
    if not answer.ok:
        yield Finding("queue", "warning", f"cannot be read: {answer.text}")
        return
    rows = [line.split("|", maxsplit=2) for line in answer.text.splitlines()]
    # Snakemake's jobs alone have the rule as their comment: a driver may be a job itself.
    names = Counter(
        name for name, rule, where in rows if rule.startswith("rule_") and Path(where) == folder
    )
    for name, number in names.items():
        yield Finding(
            f"driver {name}",
            "warning",
            f"{number} of its jobs run or wait for this folder",
            f"if it is dead, scancel --name={name}: they would go on beside those of a new driver",
        )


def _time(minutes: int | None) -> str:
    return "no time limit" if minutes is None else f"at most {minutes} min"
