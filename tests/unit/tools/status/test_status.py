"""How far a run is, from files as its jobs leave them."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from helpers.cli import run_verb

from crystalformer_rl.config import read
from crystalformer_rl.files import write_table, write_text
from crystalformer_rl.layout import Layout, write_settings
from crystalformer_rl.tools.status import command
from crystalformer_rl.tools.status.jobs import SILENT_AFTER, jobs, look

RAW = {
    "run": "r",
    "sample": {"count": 4, "shard_size": 2},
    "sft": {"samples": 6},
    "rl": {"a": {"rounds": 2}},
    "judge": {"count": 2},
    "external": {"theirs": "theirs.extxyz"},
}
LAYOUT = Layout(read(RAW))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_settings(Path("results/r"), LAYOUT)
    return tmp_path


def write_log(name: str, *texts: str) -> Path:
    path = Path(f"logs/r/{name}.log")
    write_text(path, "".join(f"2026-11-29 15:11:02,539 {text}\n" for text in texts))
    return path


def finish(*names: str) -> None:
    for name in names:
        (job,) = (one for one in jobs(LAYOUT) if one.name == name)
        write_text(job.provenance, "{}")


def test_every_job_has_files_of_its_own() -> None:
    found = list(jobs(LAYOUT))
    assert len({job.provenance for job in found}) == len({job.log for job in found}) == len(found)
    names = {job.name for job in found}
    assert {"dataset", "known", "rl-a/round-2", "judge/hull", "comparison/hull"} <= names
    # SFT learns from more samples of base than are compared.
    assert "sample/base/shard-0002" in names
    assert "sample/sft/shard-0002" not in names
    # The crystals of others are read by one job, and not trained.
    assert "external/theirs" in names
    assert "relax/theirs/shard-0001" in names
    assert "judge/relax/theirs/shard-0001" not in names


def test_the_log_tells_how_far_a_job_is() -> None:
    log = write_log(
        "rl-a/round-1",
        "INFO rl: 23 of 100 in 2 min 30 s, 8 min 22 s left",
        "INFO step 24, round 1, reward_mean 0.3214, reward_std 0.41",
    )
    (job,) = (one for one in jobs(LAYOUT) if one.name == "rl-a/round-1")
    seen = look(job)
    assert (seen.state, seen.done, seen.total, seen.left) == ("running", 23, 100, "8 min 22 s")
    assert seen.value == "reward_mean 0.3214"
    assert look(job, now=log.stat().st_mtime + SILENT_AFTER + 1).state == "silent"
    write_log("rl-a/round-1", "WARNING stopping after step 24: SIGTERM; run again to continue")
    assert look(job).state == "stopped"
    write_log("rl-a/round-1", "ERROR rl: energies are not finite")
    assert (look(job).state, look(job).message) == ("failed", "rl: energies are not finite")
    assert look(job, since=log.stat().st_mtime + 1).state == "waiting"
    finish("rl-a/round-1")
    assert look(job).state == "done"


def test_the_text_names_what_failed_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    finish("dataset", "relax/base/shard-0000")
    write_log("relax/base/shard-0001", "ERROR relax: sample.parquet: no column 'id'")
    write_log("relax/base/shard-0002", "INFO relax: 1 of 2 in 30 s, 30 s left")
    run_verb(command, [])
    said = capsys.readouterr().out
    assert said.startswith("Run r: 2 of ")
    assert "relax base" in said
    assert "1/3  failed       relax/base/shard-0002, 1 of 2, 30 s left" in said
    assert "Failed: relax/base/shard-0001: relax: sample.parquet: no column 'id'" in said
    assert "log: logs/r/relax/base/shard-0001.log" in said
    assert "Read the log of what failed" in said


def test_json_has_every_job(capsys: pytest.CaptureFixture[str]) -> None:
    finish("dataset")
    run_verb(command, ["r", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["done"] == 1
    assert len(found["jobs"]) == len(list(jobs(LAYOUT)))
    assert found["jobs"][0] == {
        "job": "dataset", "stage": "dataset", "state": "done", "message": None, "done": None,
        "total": None, "left": None, "value": None, "log": "logs/r/dataset.log",
    }  # fmt: skip


def test_the_best_crystals_are_the_stable_valid_and_novel_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = pd.DataFrame(
        {
            "policy": "base",
            "id": ["base-0000-0000", "base-0000-0001"],
            "formula": ["NaCl", "KBr"],
            "e_above_hull": [0.02, -0.01],
            "valid": True,
            "stable": True,
            "novel": [True, False],
        }
    )
    write_table(Path("results/r/assess/base/shard-0000.parquet"), table)
    run_verb(command, [])
    said = capsys.readouterr().out
    assert "0.020  NaCl             base-0000-0000" in said
    assert "KBr" not in said


def test_a_finished_run_names_its_page_and_watching_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    finish(*(job.name for job in jobs(LAYOUT)))
    run_verb(command, ["--watch", "--html", "status.html"])
    assert "results/r/report/index.html" in Path("status.html").read_text()
    assert 'http-equiv="refresh"' not in Path("status.html").read_text()
    assert "status.html: " in capsys.readouterr().out


def test_the_page_renews_itself_and_escapes_what_it_shows() -> None:
    write_log("dataset", "ERROR dataset: <b>no</b>")
    run_verb(command, ["--html", "status.html"])
    page = Path("status.html").read_text()
    assert 'http-equiv="refresh"' in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page


def test_a_run_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings(Path("results/later"), LAYOUT)
    os.utime("results/r/settings.json", (0, 0))
    assert command.newest() == "later"
    with pytest.raises(FileNotFoundError, match="no run 'x' here; there is r, later"):
        command.status("x")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no run here; start one with `snakemake`"):
        command.newest()
