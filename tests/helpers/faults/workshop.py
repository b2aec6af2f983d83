"""A folder with the finished pipeline in it, in which jobs are run again and disturbed."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from helpers.faults.client import Server
from helpers.faults.comparison import content
from helpers.faults.jobs import JOBS, Job, prepare

ROOM = 64 * 2**20
"""Bytes of the small filesystem, as long as it is not full."""


@dataclass(frozen=True)
class Undisturbed:
    """One job as it is when nothing happens.

    Attributes
    ----------
    outputs
        Content of every file below its outputs, by path; see :func:`comparison.content`.
    need
        Bytes that it needs on the disk at most, checkpoints included.
    calls
        Its calls that change files, in order; see :func:`injection.at_call`.
    writes
        Every write that matters, of a file that is renamed into place or of a line of a journal:
        the number of the call before it, and the size of the file before and after.
    seconds
        How long it takes.
    """

    outputs: dict[Path, Any]
    need: int
    calls: tuple[str, ...]
    writes: tuple[tuple[int, int, int], ...]
    seconds: float


class Workshop:
    """A folder in which every job of :data:`jobs.JOBS` has run undisturbed.

    Attributes
    ----------
    folder
        Where jobs run: their paths are relative to it.
    small
        Whether it is a filesystem of its own that can be made full.
    undisturbed
        By the name of the job.
    """

    def __init__(self, root: Path) -> None:
        self.folder, self._kept = root / "run", root / "undisturbed"
        self.folder.mkdir(parents=True)
        self.small = mount(self.folder)
        try:
            self.server = Server()
            prepare(self.folder)
            self.undisturbed = {job.name: self._run_undisturbed(job, root) for job in JOBS}
            shutil.copytree(self.folder, self._kept)
            self._files = {path.relative_to(self.folder) for path in self._all_files()}
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the server and unmount the folder."""
        if hasattr(self, "server"):
            self.server.close()
        if self.small:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
            self.small = False

    def clear(self, job: Job) -> None:
        """Delete the outputs, as Snakemake does before a job, and the log."""
        for path in (*job.outputs, Path(job.words[2])):
            remove(self.folder / path)

    def restore(self, job: Job) -> None:
        """Put everything of the job back to where it was when nothing had happened."""
        self.clear(job)
        if job.state is not None:
            remove(self.folder / job.state)
        for path in self.strays():
            (self.folder / path).unlink()
        for path in job.outputs:
            kept, place = self._kept / path, self.folder / path
            (shutil.copytree if kept.is_dir() else shutil.copy)(kept, place)

    def outputs(self, job: Job) -> dict[Path, Any]:
        """Content of what is there of the job's outputs."""
        return {
            file.relative_to(self.folder): content(file)
            for path in job.outputs
            for file in files_below(self.folder / path)
        }

    def strays(self) -> list[Path]:
        """Files that an undisturbed run does not leave."""
        return [
            path
            for path in (file.relative_to(self.folder) for file in self._all_files())
            if path not in self._files
        ]

    def leave_room(self, size: int) -> None:
        """Make the filesystem so small that ``size`` more bytes fit."""
        found = os.statvfs(self.folder)
        resize(self.folder, (found.f_blocks - found.f_bfree) * found.f_frsize + size)

    def make_room(self) -> None:
        """End :meth:`leave_room`."""
        resize(self.folder, ROOM)

    def _all_files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def _run_undisturbed(self, job: Job, root: Path) -> Undisturbed:
        end = self.server.run(self.folder, job.words, calls=root / "calls.json")
        if end.code != 0 or end.left:
            raise RuntimeError(f"{job.name}: exit code {end.code}, undisturbed:\n{end.said}")
        if job.state is not None:
            remove(self.folder / job.state)
        calls, free, sizes = zip(*json.loads((root / "calls.json").read_text()), strict=True)
        return Undisturbed(
            outputs=self.outputs(job),
            need=free[0] - min(free),
            calls=calls,
            writes=tuple(writes(calls, sizes, state=job.state)),
            seconds=end.seconds,
        )


def writes(
    calls: Sequence[str], sizes: Sequence[int], *, state: Path | None
) -> Iterator[tuple[int, int, int]]:
    """See :class:`Undisturbed`."""
    for opened in dict.fromkeys(call for call in calls if call.startswith(f"open {state}")):
        appends = [place for place, call in enumerate(calls) if call == opened]
        for place, after in pairwise(appends if opened.endswith(".journal") else ()):
            yield place, sizes[place], sizes[after]
    for place, call in enumerate(calls):
        name, _, path = call.partition(" ")
        if name == "os.rename":
            yield calls.index(f"open {path}"), 0, sizes[place]


def mount(folder: Path) -> bool:
    """Mount a small filesystem in memory there; whether that is permitted."""
    words = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def resize(folder: Path, size: int) -> None:
    words = ["mount", "-o", f"remount,size={size}", str(folder)]
    subprocess.run(words, capture_output=True, check=True)


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def files_below(path: Path) -> list[Path]:
    """The file, or all of the folder; hidden ones are temporary and left out."""
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
