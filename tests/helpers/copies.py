"""A copy of the repository in which snakemake runs, so that no test touches the checkout."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
PARTS = (
    "CITATION.cff", "README.md", "Snakefile", "config", "config.yaml", "envs", "profiles",
    "pyproject.toml", "resources", "setup.py", "slurm", "src", "workflow",
)  # fmt: skip


@dataclass(frozen=True)
class Copy:
    """A folder with a copy of the repository."""

    folder: Path

    def snakemake(self, *words: str, check: bool = True) -> str:
        """Run snakemake here; its output. Fails the test if it fails, unless told otherwise."""
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *words],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == check, done.stdout
        return done.stdout

    def planned(self, *words: str) -> set[str]:
        """The jobs that would run, by their messages: "Relaxing base, shard 0003"."""
        return messages(self.snakemake("--dry-run", *words))

    def requested(self, *words: str) -> list[tuple[str, dict[str, Any]]]:
        """The rule of each job that would run on a node, with its resources."""
        done = subprocess.run(
            [sys.executable, "-m", "crystalformer_rl.tools.doctor.plan", "--dry-run", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [(job["rule"], job["resources"]) for job in json.loads(done.stdout.splitlines()[-1])]

    def finish(self, *words: str) -> None:
        """Make every file of a run, recorded as up to date; ``words`` are those of its command.

        The files hold nothing, but Snakemake's records of them (parameters, code, inputs and their
        checksums) are those of a real run: ``--touch`` writes the same ones.
        """
        summary = self.snakemake("--summary", *words).splitlines()
        header = next(i for i, line in enumerate(summary) if line.startswith("output_file\t"))
        files = [
            self.folder / line.split("\t")[0] for line in summary[header + 1 :] if "\t" in line
        ]
        assert len(files) > 30
        for file in files:
            folder = file if file.suffix == "" else file.parent
            folder.mkdir(parents=True, exist_ok=True)
            if file.suffix:
                file.write_text(file.name)
        self.snakemake("--touch", "--forceall", *words)

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Change a file; the change must change something."""
        file = self.folder / path
        before = file.read_text(encoding="utf-8")
        after = change(before)
        assert after != before, f"the edit of {path} changed nothing"
        file.write_text(after, encoding="utf-8")

    def duplicate(self, folder: Path) -> "Copy":
        """Another copy with the same time stamps, results and Snakemake's records included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Copy(folder)


def messages(output: str) -> set[str]:
    """The messages of the jobs in the output of a dry run."""
    return set(re.findall(r"^Job \d+: (.+)$", output, flags=re.MULTILINE))


def copy_repository(folder: Path) -> Copy:
    """Copy what a run needs."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "downloads")
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, folder / part, ignore=ignore)
        else:
            shutil.copy2(source, folder / part, follow_symlinks=False)
    return Copy(folder)
