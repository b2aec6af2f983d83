"""Snakemake in a copy of the repository, submitting to the cluster of the tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.copies import Copy, copy_repository
from helpers.slurm.cluster import wait_until

# As a user calls it, but that the state of jobs is asked for more often, and that files written on
# a node are waited for as long as on one machine.
PROFILE = ("--profile=slurm", "--slurm-status-command=squeue", "--latency-wait=5")
POLLING = "--slurm-init-seconds-before-status-checks=3"
CONFIG = ("--configfile", "config/smoke.yaml", "config/cluster.yaml")
# Fewer jobs than the smoke run has, one or two of each kind, and shards of several groups of
# crystals that are relaxed together. Without dropout the processes of a training see what one
# process sees.
OVERLAY = """\
model: {dropout: 0.0}
rl: {fom: null}
sample: {count: 20, shard_size: 20}
sft: {samples: 40}
judge: {potential: null}
hull: {shards: 2}
"""
DEADLINE = 900


def prepared(folder: Path) -> Copy:
    """A copy of the repository with the overlay of these tests."""
    copy = copy_repository(folder)
    (copy.folder / "config/cluster.yaml").write_text(OVERLAY, encoding="utf-8")
    return copy


def words_of(*words: str, settings: tuple[str, ...] = ()) -> list[str]:
    """Arguments of snakemake; ``settings`` are such as for ``--config``."""
    config = ["--config", *settings] if settings else []
    return [*words, *PROFILE, POLLING, *CONFIG, *config]


def run(copy: Copy, *words: str, settings: tuple[str, ...] = (), check: bool = True) -> str:
    """Run snakemake until it ends; its output."""
    return copy.snakemake(*words_of(*words, settings=settings), check=check)


class Driver:
    """A snakemake that runs beside the test."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        """Its output so far."""
        return self._log.read_text(encoding="utf-8")

    def wait_until(self, what: str, condition: Callable[[], object]) -> None:
        """Return as soon as the condition holds; fail if the driver ends before it does."""

        def holds() -> bool:
            if condition():
                return True
            assert self.process.poll() is None, self.said
            return False

        wait_until(what, holds)

    def end(self, *, seconds: float = DEADLINE) -> str:
        """Its output, once it has ended well."""
        assert self.process.wait(seconds) == 0, self.said
        return self.said

    def kill(self) -> None:
        """SIGKILL to the driver alone: its jobs do not hear of it."""
        self.process.kill()
        self.process.wait()


@contextmanager
def started(copy: Copy, *words: str, settings: tuple[str, ...] = ()) -> Iterator[Driver]:
    """Start snakemake; what is left of it at the end of the block is killed."""
    log = copy.folder.parent / f"driver-{len(list(copy.folder.parent.iterdir()))}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *words_of(*words, settings=settings)],
            cwd=copy.folder,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Driver(process, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def processes(copy: Copy, verb: str) -> list[int]:
    """The processes of a stage that work in the copy, by what /proc knows."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            here = (folder / "cwd").resolve() == copy.folder.resolve()
        except OSError:  # it has ended
            continue
        if here and words[1:4] == [b"-m", b"crystalformer_rl", verb.encode()]:
            found.append(int(folder.name))
    return found
