"""What the training stages share."""

import argparse
from pathlib import Path

import pytest

from crystalformer_rl.jobs.training import Training, add_training_arguments


def test_a_stage_of_one_process_refuses_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = argparse.ArgumentParser()
    add_training_arguments(parser)
    words = ["--settings={}", "--seed=0", f"--checkpoints={tmp_path}", f"--out={tmp_path}"]
    args = parser.parse_args(words)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="rl runs in one process, but WORLD_SIZE is 2"):
        Training("rl", args, sections={}, inputs={}, seed=0)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Training("rl", args, sections={}, inputs={}, seed=0).loop.resume() is None
