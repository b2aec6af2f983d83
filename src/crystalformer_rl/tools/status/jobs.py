"""The jobs of a run, and what their files say about them.

A job writes its provenance last, so that it is done if this file exists. Before that its log tells
how far it is. Nothing here asks Snakemake or SLURM: the files are all that a login node sees of
jobs that run elsewhere.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crystalformer_rl.layout import Layout

State = Literal["done", "running", "silent", "stopped", "failed", "waiting"]
STATES: dict[State, str] = {
    "done": "Its results are there.",
    "running": "Its log has changed in the last ten minutes.",
    "silent": "Its log has not changed for longer: the step is long, or the job was killed.",
    "stopped": "It stopped with a checkpoint, at a signal or before its time limit.",
    "failed": "Its log ends with an error.",
    "waiting": "It has not begun since the run was started last.",
}
SILENT_AFTER = 600.0
# Enough for the last lines of any log.
TAIL = 16384
LINE = re.compile(r"^\d{4}-\d\d-\d\d [\d:,]+ (?P<level>[A-Z]+) (?P<text>.*)$")
PROGRESS = re.compile(r"^[\w. -]+: (?P<done>\d+) of (?P<total>\d+) in .*?(?:, (?P<left>.*) left)?$")
VALUE = re.compile(r"\b(reward_mean|val_loss|loss) (-?[\d.]+(?:e[+-]?\d+)?)")


@dataclass(frozen=True)
class Job:
    """One job of a run.

    Attributes
    ----------
    stage
        What it is a part of: a stage, or the sampling, relaxation … of one policy.
    name
        Its path within the run.
    provenance, log
        Its files.
    """

    stage: str
    name: str
    provenance: Path
    log: Path


@dataclass(frozen=True)
class Seen:
    """A job, and what its files say.

    Attributes
    ----------
    message
        The error of a failed job.
    done, total, left
        Items, and the time that the rest will take in words, as far as the log has them.
    value
        The last loss or mean reward, with its name.
    """

    job: Job
    state: State
    message: str | None = None
    done: int | None = None
    total: int | None = None
    left: str | None = None
    value: str | None = None


def jobs(layout: Layout) -> Iterator[Job]:
    """All jobs of a run, in the order of the pipeline."""
    run = layout.results
    for stage in ("dataset", "known/known", "tokenize"):
        yield _job(layout, stage.partition("/")[0], _last(run, stage))
    for stage in ("energies", "judge/energies"):
        for path in layout.energies(stage, "provenance.json"):
            yield _job(layout, stage, path)
    hulls = [f"{run}/hull", layout.judge_hull, layout.comparison_hull]
    for hull in filter(None, hulls):
        yield _job(layout, hull.removeprefix(f"{run}/"), f"{hull}/provenance.json")
    for policy, path in layout.trained("provenance.json"):
        yield _job(layout, "pretrain" if policy == "base" else policy, path)
    for stage in ("sample", "relax"):
        for policy, count in _counts(layout).items():
            paths = layout.shards(stage, policy, count, "provenance.json")
            if stage == "sample" and policy in layout.config.external:
                log = Path(layout.logs) / f"external/{policy}.log"
                yield Job(f"sample {policy}", f"external/{policy}", Path(paths[-1]), log)
                continue
            for path in paths:
                yield _job(layout, f"{stage} {policy}", path)
    for stage in ("judge/relax", "assess"):
        for path in layout.evaluated(stage, "provenance.json"):
            policy = Path(path).parent.name
            yield _job(layout, f"{stage.partition('/')[0]} {policy}", path)
    for stage in ("evaluate", "report"):
        yield _job(layout, stage, _last(run, stage))


def look(job: Job, *, since: float = 0.0, now: float | None = None) -> Seen:
    """The state of a job by its files.

    Parameters
    ----------
    since
        When the run was started last, in seconds of the epoch. A log that has not changed since
        then is of an earlier start, and the job waits.
    now
        The present time, for tests.
    """
    if job.provenance.exists():
        return Seen(job, "done")
    try:
        with job.log.open("rb") as stream:
            stream.seek(max(0, job.log.stat().st_size - TAIL))
            lines = stream.read().decode(errors="replace").splitlines()
        changed = job.log.stat().st_mtime
    except FileNotFoundError:
        return Seen(job, "waiting")
    if changed < since:
        return Seen(job, "waiting")
    age = (time.time() if now is None else now) - changed
    told = [found for line in lines if (found := LINE.match(line))]
    texts = [found["text"] for found in told]
    progress = next((p for text in reversed(texts) if (p := PROGRESS.match(text))), None)
    value = next((v for text in reversed(texts) if (v := VALUE.search(text))), None)
    state: State = "silent" if age > SILENT_AFTER else "running"
    message = None
    if told and told[-1]["level"] in ("ERROR", "CRITICAL"):
        state, message = "failed", texts[-1]
    elif texts and texts[-1].startswith("stopping after step"):
        state = "stopped"
    return Seen(
        job,
        state,
        message,
        done=None if progress is None else int(progress["done"]),
        total=None if progress is None else int(progress["total"]),
        left=None if progress is None else progress["left"],
        value=None if value is None else f"{value[1]} {value[2]}",
    )


def _counts(layout: Layout) -> dict[str, int]:
    """How many crystals of each policy are relaxed: to be compared, or for SFT to learn from."""
    config = layout.config
    counts = dict.fromkeys(layout.policies, config.sample.count)
    learned = [("base", config.sft.samples)]
    for branch, settings in config.rl.items():
        if settings.sft is not None:
            rounds = range(1, settings.rounds + 1)
            learned += [(layout.teacher(branch, one), settings.sft.samples) for one in rounds]
    for policy, samples in learned:
        counts[policy] = max(counts.get(policy, 0), samples)
    return counts


def _last(run: str, stage: str) -> str:
    folder, slash, name = stage.partition("/")
    return f"{run}/{folder}/{name}.provenance.json" if slash else f"{run}/{folder}/provenance.json"


def _job(layout: Layout, stage: str, provenance: str) -> Job:
    """A job, with its log at the path that belongs to its provenance."""
    inside = Path(provenance).relative_to(layout.results)
    if inside.name == "provenance.json":
        name = str(inside.parent)
    elif inside.name.startswith("shard-"):
        name = str(inside).removesuffix(".provenance.json")
    else:
        name = inside.name.removesuffix(".provenance.json")
    log = "comparison-hull" if name == "comparison/hull" else name
    return Job(stage, name, Path(provenance), Path(layout.logs) / f"{log}.log")
