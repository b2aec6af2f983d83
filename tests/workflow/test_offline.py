"""Without a network: the stages before training and the default potentials, with an empty home."""

import os
import shutil
import subprocess
import sys

import pytest
from helpers.copies import Copy

ALONE = ("unshare", "--map-root-user", "--net")
TARGETS = ("tokenize/rejected.parquet", "hull/hull.parquet", "judge/hull/hull.parquet")
# The hulls of MP-20 take energies that are known.
PROGRAM = """
import socket
from crystalformer_rl.config import Config
from crystalformer_rl.potentials.registry import load
try:
    socket.create_connection(("127.0.0.1", 1))
except OSError as error:
    print(error.strerror)
print(load(Config().hull.potential, device="cpu").elements >= {"Na", "Cl"})
"""


@pytest.fixture
def no_network() -> None:
    if shutil.which(ALONE[0]) is None:
        pytest.skip(f"no {ALONE[0]} here, which takes the network away")
    done = subprocess.run([*ALONE, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no process may be without network here: {done.stderr.strip()}")


def alone(copy: Copy, *words: str) -> str:
    """What a program prints without network, and without the caches of this user."""
    home = copy.folder / "home"
    home.mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "HF_"))}
    done = subprocess.run(
        [*ALONE, sys.executable, *words],
        cwd=copy.folder,
        env=kept | {"HOME": str(home), "PYTHONPATH": str(copy.folder / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.usefixtures("no_network")
def test_what_the_default_run_reads_is_all_here(copy: Copy) -> None:
    refused, loaded = alone(copy, "-c", PROGRAM).splitlines()[-2:]
    assert (refused, loaded) == ("Network is unreachable", "True")
    targets = [f"results/default/{target}" for target in TARGETS]
    alone(copy, "-m", "snakemake", *targets, "--cores", "2", "--config", "dataset={limit: 12}")
    assert all((copy.folder / target).is_file() for target in targets)
