"""The pretrain stage: files in, files out, and a SIGTERM in between."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY

from crystalformer_rl.config import PretrainSettings
from crystalformer_rl.files import read_json, read_table, read_tensors, write_tensors
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.stages import pretrain
from crystalformer_rl.training.loop import EXIT_CODE

MODEL = TINY
SETTINGS = PretrainSettings(epochs=4, batch_size=8)
GROUPS = np.repeat([2, 62, 225], 10)

SIGTERM_AFTER_EPOCH_2 = """
import argparse, logging, os, signal, sys
from crystalformer_rl.stages import pretrain

class Terminate(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("epoch 2,"):
            os.kill(os.getpid(), signal.SIGTERM)

logging.basicConfig(level=logging.INFO)
logging.getLogger().addHandler(Terminate())
parser = argparse.ArgumentParser()
pretrain.add_arguments(parser)
pretrain.run(parser.parse_args(sys.argv[1:]))
"""


def arguments(folder: Path, *, out: str, settings: PretrainSettings = SETTINGS) -> list[str]:
    values = {
        "settings": settings.model_dump_json(),
        "model": MODEL.model_dump_json(),
        "tokens": folder / "tokenize",
        "seed": 3,
        "checkpoints": folder / "checkpoints" / out,
        "out": folder / out,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def run(args: list[str]) -> None:
    parser = argparse.ArgumentParser()
    pretrain.add_arguments(parser)
    pretrain.run(parser.parse_args(args))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    tokens = Policy(MODEL, seed=2).sample(GROUPS, seed=3).tokens
    for split, part in (("train", slice(0, 26)), ("val", slice(26, 30))):
        arrays = tokens[part].to_arrays()
        rows = np.arange(len(arrays["space_group"]))
        write_tensors(tmp_path / "tokenize" / f"tokens-{split}.safetensors", arrays | {"row": rows})
    return tmp_path


def test_outputs(folder: Path) -> None:
    run(arguments(folder, out="pretrain"))
    policy = Policy.load(folder / "pretrain")
    assert policy.space_group_counts[[2, 62, 225]].tolist() == [10, 10, 6]
    assert policy.space_group_counts.sum() == 26
    history = read_table(folder / "pretrain" / "history.parquet")
    assert history["epoch"].tolist() == list(range(len(history)))
    assert history["val_loss"].notna().all()
    assert history["train_lattice"].isna().tolist() == [True] + [False] * (len(history) - 1)
    record = read_json(folder / "pretrain" / "provenance.json")
    assert record["counts"]["train"] == 26
    assert record["counts"]["items"] == 26 * (len(history) - 1)
    assert set(record["settings"]) == {"pretrain", "model"}
    assert not (folder / "checkpoints" / "pretrain").exists()


def test_sigterm_leaves_with_75_and_the_next_job_continues_exactly(folder: Path) -> None:
    stopped = subprocess.run(
        [sys.executable, "-c", SIGTERM_AFTER_EPOCH_2, *arguments(folder, out="resumed")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert stopped.returncode == EXIT_CODE, stopped.stderr
    assert not (folder / "resumed").exists()
    run(arguments(folder, out="resumed"))
    run(arguments(folder, out="straight"))
    resumed, straight = (
        read_tensors(folder / name / "model.safetensors") for name in ("resumed", "straight")
    )
    assert resumed.keys() == straight.keys()
    assert all(np.array_equal(resumed[name], straight[name]) for name in straight)
    steps = read_json(folder / "resumed" / "provenance.json")["counts"]
    assert steps["steps"] == 16
    assert steps["steps_of_this_job"] == 8


def test_checkpoints_of_other_settings_are_not_used(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    args = arguments(folder, out="pretrain")
    with pytest.raises(SystemExit) as stop:
        run([*args, "--minutes=0"])
    assert stop.value.code == EXIT_CODE
    other = SETTINGS.model_copy(update={"epochs": 1})
    run(arguments(folder, out="pretrain", settings=other))
    assert "made under other settings" in caplog.text
    counts = read_json(folder / "pretrain" / "provenance.json")["counts"]
    assert counts["steps_of_this_job"] == counts["steps"] == 4


def test_unknown_setting_is_refused(folder: Path) -> None:
    args = arguments(folder, out="pretrain")
    args[0] = "--settings=" + json.dumps({"epoch": 3})
    with pytest.raises(ValueError, match="epoch"):
        run(args)
