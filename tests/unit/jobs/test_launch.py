"""One process, several on one machine, several nodes of a job."""

import subprocess
import sys

import pytest

from crystalformer_rl.jobs.launch import command

WORDS = ["pretrain", "--out", "here and there"]
VERB = ["-m", "crystalformer_rl", *WORDS]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def test_one_process_is_called_as_it_is() -> None:
    assert command(WORDS, nodes=1, processes=1) == [sys.executable, *VERB]


def test_torchrun_starts_several() -> None:
    words = command(WORDS, nodes=1, processes=4)
    assert words == [*TORCHRUN, "--nproc-per-node=4", "--standalone", *VERB]


def test_srun_starts_a_torchrun_on_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    words = command(WORDS, nodes=3, processes=4)
    start = words.index(sys.executable)
    assert words[0] == "srun"
    assert {"--nodes=3", "--ntasks=3", "--ntasks-per-node=1"} <= set(words[:start])
    assert words[start : start + 3] == TORCHRUN
    assert {"--nnodes=3", "--nproc-per-node=4", "--rdzv-id=17"} <= set(words[start:])
    assert words[-len(VERB) :] == VERB


def test_nodes_without_a_job_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(ValueError, match="2 nodes need a SLURM job"):
        command(WORDS, nodes=2, processes=1)
    words = [sys.executable, "-m", "crystalformer_rl.jobs.launch", "2", "1", *WORDS]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "2 nodes need a SLURM job" in line
