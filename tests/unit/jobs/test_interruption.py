"""Real processes that are stopped in the middle: the next job ends with the same bits."""

import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.launch import (
    TORCHRUN,
    end,
    interrupted,
    pretrain_arguments,
    run_pretrain,
    start,
    write_tokens,
)
from helpers.policies import TINY

from crystalformer_rl.config import PretrainSettings
from crystalformer_rl.files import read_json, read_table, read_tensors
from crystalformer_rl.jobs.loop import EXIT_CODE

pytestmark = pytest.mark.slow
SETTINGS = PretrainSettings(
    epochs=20, batch_size=8, warmup_steps=30, ema_decay=0.9, validate_every=3
)
STEPS = 20 * 4
WITHOUT_DROPOUT = TINY.model_copy(update={"dropout": 0.0})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens, and a training that was never stopped."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("interruption")
    write_tokens(path / "tokenize")
    run_pretrain(arguments(path, "straight"))
    return path


def arguments(folder: Path, out: str) -> list[str]:
    return pretrain_arguments(folder, out=out, settings=SETTINGS)


def continue_to_the_same_end(folder: Path, out: str) -> None:
    assert not (folder / out).exists()
    run_pretrain(arguments(folder, out))
    found, expected = (
        read_tensors(folder / name / "model.safetensors") for name in (out, "straight")
    )
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    histories = [read_table(folder / name / "history.parquet") for name in (out, "straight")]
    assert histories[0].equals(histories[1])
    counts = read_json(folder / out / "provenance.json")["counts"]
    assert counts["steps"] == STEPS
    assert 0 < counts["steps_of_this_job"] < STEPS
    assert len(checkpoints(folder, out)) == 1


def checkpoints(folder: Path, out: str) -> list[Path]:
    return sorted((folder / "checkpoints" / out).glob("*/*-*.safetensors"))


def test_sigterm(folder: Path) -> None:
    code, said = interrupted(
        "pretrain", arguments(folder, "terminated"), by=signal.SIGTERM, after="epoch 2,"
    )
    assert code == EXIT_CODE
    assert "SIGTERM; run again to continue" in said
    assert len(checkpoints(folder, "terminated")) == 1
    continue_to_the_same_end(folder, "terminated")


def test_its_own_time_limit(folder: Path) -> None:
    process = start("pretrain", [*arguments(folder, "limited"), "--minutes=0"])
    code, said = end(process)
    assert code == EXIT_CODE
    assert "the time limit is near" in said
    continue_to_the_same_end(folder, "limited")


def test_sigkill_and_then_a_flipped_bit(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    args = [*arguments(folder, "killed"), "--checkpoint-minutes=0"]
    code, _ = interrupted("pretrain", args, by=signal.SIGKILL, after="checkpoint after step 9:")
    assert code == -signal.SIGKILL
    shutil.copytree(folder / "checkpoints" / "killed", folder / "checkpoints" / "damaged")
    continue_to_the_same_end(folder, "killed")
    assert "is damaged" not in caplog.text

    newest = checkpoints(folder, "damaged")[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    continue_to_the_same_end(folder, "damaged")
    assert f"{newest} is damaged" in caplog.text


def test_done_again_it_comes_from_its_last_checkpoint(folder: Path) -> None:
    """As after the death of a driver, which did not note that the job has finished."""
    args = [*arguments(folder, "again"), "--checkpoint-minutes=0"]
    for steps_of_this_job in (STEPS, 0):
        run_pretrain(args)
        counts = read_json(folder / "again/provenance.json")["counts"]
        assert counts["steps"] == STEPS
        assert counts["steps_of_this_job"] == steps_of_this_job
        for name in ("model.safetensors", "history.parquet"):
            files = [folder / out / name for out in ("again", "straight")]
            assert files[0].read_bytes() == files[1].read_bytes()
        shutil.rmtree(folder / "again")


def without_dropout(folder: Path, out: str) -> list[str]:
    return pretrain_arguments(folder, out=out, settings=SETTINGS, model=WITHOUT_DROPOUT)


@pytest.fixture(scope="module")
def history(folder: Path) -> pd.DataFrame:
    """Of one process, without dropout."""
    run_pretrain(without_dropout(folder, "one"))
    return read_table(folder / "one" / "history.parquet")


def test_two_processes_of_torchrun_continue_what_one_began(
    folder: Path, history: pd.DataFrame
) -> None:
    args = without_dropout(folder, "two")
    with pytest.raises(SystemExit):
        run_pretrain([*args, "--minutes=0"])
    code, said = end(start("pretrain", args, TORCHRUN))
    assert code == 0, said
    two = read_table(folder / "two" / "history.parquet")
    np.testing.assert_allclose(two, history, rtol=1e-5)
    counts = read_json(folder / "two" / "provenance.json")["counts"]
    assert counts["processes"] == 2
    assert counts["steps_of_this_job"] == STEPS - 1


def test_sigterm_to_torchrun_stops_both_and_one_can_continue(
    folder: Path, history: pd.DataFrame
) -> None:
    args = without_dropout(folder, "both")
    code, said = interrupted(
        "pretrain", args, by=signal.SIGTERM, after="epoch 2,", launcher=TORCHRUN
    )
    assert code != 0  # torchrun has exit codes of its own
    assert said.count("run again to continue") == 2
    assert len(checkpoints(folder, "both")) == 1
    run_pretrain(args)
    both = read_table(folder / "both" / "history.parquet")
    np.testing.assert_allclose(both, history, rtol=1e-5)
