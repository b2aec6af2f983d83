"""Mistakes in the configuration end before anything runs, with the key and what is allowed."""

import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.clone import Copy

MISTAKES = {
    "relax={max_forse: 0.1}": "relax.max_forse: unknown key (did you mean max_force?); allowed",
    "relax={max_force: small}": 'relax.max_force = "small": input should be a valid number',
    "relax={max_force: -1}": 'relax.max_force = "-1": input should be greater than 0',
    "hull={potential: orb}": "hull.potential: 'orb' is no potential: allowed are chgnet, sevennet",
    "run='a b; $(rm)'": "run = ",
    "sample={count: 30}": "sample.count = 30 must be a multiple of sample.shard_size",
    "rl={ehull: {reward: {kind: ehul}}}": "expected tags: 'ehull', 'figure_of_merit'",
    "rl={ehull: {rounds: 0}}": 'rl.ehull.rounds = "0": input should be greater than or equal to 1',
    "tokenize={max_sites: 21}": "model.max_sites = 21 must exceed tokenize.max_sites = 21",
    "dataset={sources: {all: nowhere.csv}}": "dataset.sources.all = nowhere.csv: no such file",
    "dataset={sources: {all: resources/downloads/x.csv}}": "manifest.yaml can download: mp_20/",
    "dataset={sources: {train: a.csv}}": "give either `all` alone or each of train, val and test",
    "hull={reference: csv}": "reference 'csv' takes at least one",
    "hull={reference: csv, files: [gone.csv]}": "hull.files = gone.csv: no such file",
    "comparison_hull={files: [gone.csv]}": "comparison_hull.files = gone.csv: no such file",
    "comparison_hull={files: ['-rf']}": "comparison_hull.files.0: '-rf' is no path",
    "relx={max_force: 1}": "relx: unknown key (did you mean relax?)",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_explained(copy: Copy, mistake: str) -> None:
    output = copy.snakemake("--config", mistake, check=False)
    assert "The configuration is not valid:" in output
    assert MISTAKES[mistake] in output
    assert "Traceback" not in output
    assert 'File "' not in output
    assert not (copy.folder / "results").exists()


def test_every_mistake_is_named_at_once(copy: Copy) -> None:
    copy.edit("config.yaml", lambda old: old.replace("max_force: 0.1", "max_force: 0"))
    output = copy.snakemake("--config", "seed=-1", check=False)
    assert "relax.max_force" in output
    assert "seed = -1" in output


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
