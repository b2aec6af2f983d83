"""A cluster as it answers: partitions, accounting, the accounts of a profile."""

import getpass
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crystalformer_rl.tools.doctor.findings import Finding, place
from crystalformer_rl.tools.doctor.plan import Request
from crystalformer_rl.tools.doctor.slurm import Node, seconds

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
    """The answer of a command of SLURM."""

    ok: bool
    text: str
    installed: bool = True

    @property
    def line(self) -> str:
        """The first line."""
        return (self.text or "no answer").splitlines()[0]


def ask(*words: str) -> Answer:
    """Run a command of SLURM; one that is missing or hangs has failed."""
    if shutil.which(words[0]) is None:
        return Answer(ok=False, text=f"{words[0]} is not installed here", installed=False)
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return Answer(ok=False, text=f"{words[0]} did not answer within {SECONDS} s")
    except OSError as error:
        return Answer(ok=False, text=f"{words[0]} cannot be started: {error.strerror}")
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
    """The keys of a profile; templates are not filled in."""
    return yaml.safe_load(file.read_text(encoding="utf-8")) or {}


def commands(*, submits: bool) -> Iterator[Finding]:
    """The commands of SLURM that Snakemake would call and that are not installed.

    ``submits``: whether the profile submits jobs to SLURM.
    """
    missing = [name for name in ("sbatch", "scancel") if submits and not shutil.which(name)]
    if not any(map(shutil.which, STATUS_COMMANDS)) and (submits or shutil.which("sinfo")):
        missing.append(" or ".join(STATUS_COMMANDS))
    if missing:
        yield Finding(
            "SLURM commands",
            "problem",
            f"not on the PATH, and snakemake needs them: {', '.join(missing)}",
            "put all of SLURM's client commands on the PATH, or no sinfo to run without a cluster",
        )


def unreadable(command: str, lines: Sequence[str]) -> Iterator[Finding]:
    """Lines of a command that were left out, because they are not in the format asked for."""
    if lines:
        count = "1 line" if len(lines) == 1 else f"{len(lines)} lines, the first"
        words = f"cannot be read and left out: {count}: {lines[0]!r}"
        yield Finding(command, "warning", words)


def partitions(nodes: Sequence[Node]) -> Iterator[Finding]:
    """The resources of each partition."""
    for name in dict.fromkeys(node.partition for node in nodes):
        members = [node for node in nodes if node.partition == name]
        usable = [node for node in members if node.usable]
        minutes = members[0].minutes
        limit = "no time limit" if minutes is None else f"at most {minutes} min"
        kinds = sorted({f"{n} {m or 'GPU'}" for node in members for m, n in node.gpus})
        words = (
            f"{len(usable)} of {len(members)} nodes take jobs; "
            f"at most {max(node.cpus for node in members)} CPUs, "
            f"{max(node.mem_mb for node in members)} MB and "
            f"{' or '.join(kinds) or 'no GPU'} each; {limit}"
        )
        topic = f"partition {name}" + (" (default)" if members[0].is_default else "")
        yield Finding(topic, "ok" if usable else "warning", words)


def accounting(sacct: Answer, *, job_age: str | None, profile: Path) -> Finding:
    """Whether the profile asks for the state of jobs in a way that this cluster answers.

    Parameters
    ----------
    sacct
        Answer of ``sacct -n -X``.
    job_age
        ``MinJobAge`` of the cluster: how long ``squeue`` knows a job that has ended.
    """
    topic, squeue = "accounting", f"{place([profile], 'slurm-status-command')} squeue"
    if read_profile(profile).get("slurm-status-command") != "squeue" and sacct.installed:
        if sacct.ok:
            return Finding(topic, "ok", "sacct answers")
        found = f"sacct: {sacct.line}; snakemake would wait for its jobs forever"
        change = f"write {squeue}, or run snakemake with --slurm-status-command squeue"
        return Finding(topic, "problem", found, change)
    age = seconds(job_age or "")
    if age is not None and age < JOB_AGE_SECONDS:
        found = f"MinJobAge is {age} s: squeue forgets jobs before snakemake has asked"
        remove = f"remove {squeue}, since sacct answers"
        change = remove if sacct.ok else f"MinJobAge={JOB_AGE_SECONDS} in slurm.conf"
        return Finding(topic, "problem", found, change)
    also = "; sacct answers too" if sacct.ok else ""
    return Finding(topic, "ok", f"squeue is asked, MinJobAge {job_age or 'unknown'}{also}")


def accounts(requests: Sequence[Request], *, profile: Path) -> Iterator[Finding]:
    """Whether the executor accepts the accounts of the profile, by its own rules.

    It takes several accounts, separated by commas or spaces, ignores case, and asks ``sshare``
    where ``sacctmgr`` has no answer.
    """
    given = " ".join(request.account or "" for request in requests)
    names = dict.fromkeys(filter(None, re.split(r"[,\s]+", given)))
    if not names:
        return
    me, change = getpass.getuser(), f"slurm_account in {profile}"
    answer = ask("sacctmgr", "-n", "-s", "list", "user", me, "format=account%256")
    silence = answer.line
    if not (answer.ok and answer.text):
        answer = ask("sshare", "-U", "--format", "Account%256", "--noheader")
    known = {line.strip() for line in answer.text.splitlines() if line.strip()}
    for topic, account in ((f"account {name}", name) for name in names):
        if not answer.installed or (answer.ok and not known):
            yield Finding(topic, "warning", f"cannot be checked: sacctmgr: {silence}")
        elif not answer.ok:
            words = f"refused without an answer: sacctmgr: {silence}; sshare: {answer.line}"
            yield Finding(topic, "problem", words, f"no {change}")
        elif account.lower() in map(str.lower, known):
            yield Finding(topic, "ok", f"{me} may use it")
        else:
            words = f"{me} may use {', '.join(sorted(known))}"
            if spaced := [name for name in known if " " in name]:
                words += f"; the executor takes {spaced[0]!r} for several accounts"
            yield Finding(topic, "problem", words, change)


def drivers(squeue: Answer, *, folder: Path) -> Iterator[Finding]:
    """The Snakemake processes, alive or dead, whose jobs are in the queue for a folder.

    Parameters
    ----------
    squeue
        Answer of ``squeue -h -o QUEUE``.
    folder
        Where snakemake would run.
    """
    if not squeue.ok:
        yield Finding("queue", "warning", f"cannot be read: {squeue.text}")
        return
    lines = squeue.text.splitlines()
    yield from unreadable("squeue", [line for line in lines if line.count("|") < QUEUE.count("|")])
    rows = [line.split("|", maxsplit=2) for line in lines if line.count("|") >= QUEUE.count("|")]
    # Only jobs of Snakemake have the rule as their comment.
    names = Counter(
        name for name, rule, where in rows if rule.startswith("rule_") and Path(where) == folder
    )
    for name, number in names.items():
        words = f"{number} of its jobs run or wait for this folder"
        change = f"if it is dead, scancel --name={name}, so that no job runs twice"
        yield Finding(f"driver {name}", "warning", words, change)
