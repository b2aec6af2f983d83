"""The doctor in a fresh clone: without a cluster, and with one that answers as a real one did.

The path has the commands that a test names and no others, whether SLURM is installed or not.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.copies import Copy

SINFO = """\
pretend1|cpu*|up|mixed|16|48000|gpu:1|infinite
pretend1|gpu|up|mixed|16|48000|gpu:1|12:00:00
"""
SACCT = """\
Slurm accounting storage is disabled
You are not running a supported accounting_storage plugin
"""
SCONTROL = "MinJobAge               = 3600 sec\nSLURM_VERSION           = 22.05.8\n"
# What Snakemake and its plugins call beside SLURM.
PROGRAMS = ("bash", "cat", "git", "sh", "which")
# One potential loads faster than two.
OVERLAY = "judge: {potential: null}\n"


def command(folder: Path, name: str, answer: str = "", *, code: int = 0) -> None:
    """A command that gives a recorded answer, on stderr if it fails."""
    folder.mkdir(exist_ok=True)
    for program in PROGRAMS:
        found = shutil.which(program)
        if found and not (folder / program).exists():
            (folder / program).symlink_to(found)
    redirected = " >&2" if code else ""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat{redirected} <<'END'\n{answer}END\nexit {code}\n")
    path.chmod(0o755)


def doctor(copy: Copy, *words: str, code: int) -> dict[str, dict[str, Any]]:
    """The findings by topic."""
    (copy.folder / "quick.yaml").write_text(OVERLAY)
    done = subprocess.run(
        [sys.executable, "-m", "crystalformer_rl", "doctor", "--json", *words]
        + ([] if "--configfile" in words else ["--configfile", "quick.yaml"]),
        cwd=copy.folder,
        env=os.environ | {"PATH": str(copy.folder / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    record = json.loads(done.stdout)
    assert record["problems"] == sum(f["status"] == "problem" for f in record["findings"])
    return {finding["topic"]: finding for finding in record["findings"]}


@pytest.fixture
def alone(copy: Copy) -> Copy:
    """SLURM's commands, and no cluster that they could ask."""
    for name in ("sinfo", "squeue", "sacct"):
        command(copy.folder / "bin", name, f"{name}: fatal: no configuration\n", code=1)
    return copy


@pytest.fixture
def on_cluster(copy: Copy) -> Copy:
    command(copy.folder / "bin", "sinfo", SINFO)
    command(copy.folder / "bin", "sacct", SACCT, code=1)
    command(copy.folder / "bin", "scontrol", SCONTROL)
    for name in ("sbatch", "squeue", "scancel"):
        command(copy.folder / "bin", name)
    return copy


def test_a_fresh_clone_is_ready(alone: Copy) -> None:
    found = doctor(alone, code=0)
    for topic in ("Python", "settings", "potential chgnet", "dataset.sources.all", "plan"):
        assert found[topic]["status"] == "ok", found[topic]
    assert "cluster" not in found
    assert not (alone.folder / "results").exists()


def test_a_profile_without_a_cluster(alone: Copy) -> None:
    found = doctor(alone, "--profile", "slurm", code=1)
    assert "here sinfo: fatal: no configuration" in found["cluster"]["found"]


def test_what_a_cluster_cannot_do_is_told_with_the_line_to_change(on_cluster: Copy) -> None:
    """The profile that is taken where a cluster answers is the one with accounting."""
    found = doctor(on_cluster, code=1)
    assert "--slurm-status-command squeue" in found["accounting"]["change"]
    assert found["partition gpu"]["status"] == "ok"
    assert found["rule sample"]["status"] == "ok"
    assert "partition gpu allows 720 min" in found["rule pretrain"]["found"]
    assert found["rule relax, last attempt"]["status"] == "warning"
    assert "no node of partition gpu has 64000 MB" in found["rule relax, last attempt"]["found"]
    profile = "workflow/profiles/slurm/config.v8+.yaml"
    lines = (on_cluster.folder / profile).read_text().splitlines()
    number = 1 + lines.index("  pretrain:")
    expected = f"runtime: 720, in {profile}, line {number}: `set-resources: pretrain:`"
    assert found["rule pretrain"]["change"] == expected


@pytest.mark.parametrize(
    ("installed", "words", "problems"),
    [
        (["sinfo"], [], {"SLURM commands", "plan"}),
        (["sinfo", "squeue"], ["--profile", "slurm"], {"SLURM commands"}),
        (["sinfo", "sacct"], ["--profile", "slurm"], {"SLURM commands", "accounting"}),
        (["sacct", "sbatch", "scancel"], ["--profile", "slurm"], {"cluster"}),
    ],
)
def test_half_of_slurm(
    on_cluster: Copy, installed: list[str], words: list[str], problems: set[str]
) -> None:
    for name in {"sinfo", "sacct", "squeue", "sbatch", "scancel", "scontrol"} - {*installed}:
        (on_cluster.folder / "bin" / name).unlink()
    found = doctor(on_cluster, *words, code=1)
    wrong = {topic for topic in found if found[topic]["status"] == "problem"}
    assert {topic for topic in wrong if not topic.startswith("rule ")} == problems
    assert "Traceback" not in json.dumps(found)


def test_a_profile_that_asks_squeue(on_cluster: Copy) -> None:
    profile = "workflow/profiles/slurm/config.v8+.yaml"
    on_cluster.edit(profile, lambda text: text.replace("# slurm-status", "slurm-status"))
    found = doctor(on_cluster, "--profile", "slurm", code=1)
    assert found["accounting"]["status"] == "ok"


def test_elsewhere_than_in_the_repository(on_cluster: Copy) -> None:
    (on_cluster.folder / "workflow").rename(on_cluster.folder / "elsewhere")
    found = doctor(on_cluster, code=1)
    assert found.keys() == {"folder"}
    assert found["folder"]["change"] == "cd to the folder of the repository"


def test_a_profile_that_does_not_exist(alone: Copy) -> None:
    found = doctor(alone, "--profile", "pbs", code=1)
    assert (
        "--profile pbs: no such profile; workflow/profiles has default"
        in (found["profile"]["found"])
    )


def test_a_plan_that_fails_is_told_without_a_traceback(alone: Copy) -> None:
    """A file in the place of Snakemake's folder fails for root too, as a read-only folder does."""
    (alone.folder / ".snakemake").touch()
    (line,) = doctor(alone, code=1)["plan"]["found"].splitlines()
    assert ".snakemake'" in line
    assert "Error: " in line


def test_mistakes_in_the_settings_and_missing_files(alone: Copy) -> None:
    (alone.folder / "mine.yaml").write_text("relax: {max_forse: 1}\n")
    found = doctor(alone, "--configfile", "mine.yaml", code=1)
    assert "did you mean max_force?" in found["settings"]["found"]
    assert "did you mean max_force?" in found["plan"]["found"]
    (alone.folder / "mine.yaml").write_text(OVERLAY + "dataset: {sources: {all: gone.csv}}\n")
    found = doctor(alone, "--configfile", "mine.yaml", code=1)
    assert "mine.yaml, line 2: `dataset: sources: all:`" in found["dataset.sources.all"]["change"]
