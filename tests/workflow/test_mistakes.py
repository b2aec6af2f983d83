"""Mistakes in the configuration end before anything runs, with the key and what is allowed."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from helpers.copies import Copy

from crystalformer_rl.config import read

MISSING = {
    "dataset={sources: {all: resources/downloads/x.csv}}": (
        "dataset.sources.all = resources/downloads/x.csv: no such file",
        "manifest.yaml can download: mp_20/",
    ),
    "external={theirs: gone.zip}": ("external.theirs = gone.zip: no such file",),
    "hull={reference: csv, files: [gone.csv]}": ("hull.files = gone.csv: no such file",),
    "comparison_hull={files: [gone.csv]}": ("comparison_hull.files = gone.csv: no such file",),
}


def refused(copy: Copy, *words: str) -> str:
    """What Snakemake prints where the configuration is not valid: no traceback, and nothing ran."""
    output = copy.snakemake(*words, check=False)
    assert "The configuration is not valid:" in output
    assert "Traceback" not in output
    assert 'File "' not in output
    assert not (copy.folder / "results").exists()
    return output


def test_every_mistake_is_named_at_once(copy: Copy) -> None:
    """In the words of ``config.read``, which tests/unit/test_config.py tests."""
    copy.edit("config.yaml", lambda old: old.replace("max_force: 0.1", "max_force: 0"))
    given = yaml.safe_load((copy.folder / "config.yaml").read_text()) | {"seed": -1}
    with pytest.raises(ValueError, match=r"^seed = .*\nrelax\.max_force = ") as error:
        read(given)
    assert str(error.value) in refused(copy, "--config", "seed=-1")


@pytest.mark.parametrize("mistake", MISSING)
def test_a_missing_file_is_named_with_its_key(copy: Copy, mistake: str) -> None:
    output = refused(copy, "--config", mistake)
    for words in MISSING[mistake]:
        assert words in output


def test_a_key_given_twice_and_a_misspelt_removal_are_refused(copy: Copy) -> None:
    overlay = copy.folder / "mine.yaml"
    overlay.write_text("relax:\n  max_force: 0.1\n  max_force: 0.2\nrun: 2026-11-28\n")
    output = refused(copy, "--configfile", "mine.yaml")
    assert "mine.yaml: relax.max_force: given twice, in lines 2 and 3" in output
    overlay.write_text("rl: {ehul: null}\n")
    output = refused(copy, "--configfile", "mine.yaml")
    assert "mine.yaml: rl.ehul: null removes nothing; there are ehull, fom" in output
    overlay.write_text("run: 2026-11-28\n")
    assert "results/2026-11-28/" in copy.snakemake("--configfile", "mine.yaml", "--dry-run")


def test_a_second_run_in_one_folder_is_refused(copy: Copy) -> None:
    """The first one is held still once it has locked the folder, so that the second meets it."""
    words = [sys.executable, "-m", "snakemake", "--configfile", "config/smoke.yaml"]
    with (copy.folder / "first.log").open("w") as log:
        first = subprocess.Popen(
            words, cwd=copy.folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        locks = copy.folder / ".snakemake/locks"
        deadline = time.monotonic() + 600
        while not (locks.is_dir() and any(locks.iterdir())):
            assert first.poll() is None, (copy.folder / "first.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(first.pid, signal.SIGSTOP)
        output = copy.snakemake("--configfile", "config/smoke.yaml", check=False)
        assert "cannot be locked" in output
        assert "no other Snakemake process" in output
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
