"""The pretrain stage: files in, files out."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.launch import pretrain_arguments, run_pretrain, write_tokens
from helpers.policies import TINY

from crystalformer_rl.config import PretrainSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.files import read_json, read_table, read_tensors, write_tensors
from crystalformer_rl.jobs.loop import EXIT_CODE
from crystalformer_rl.model.policy import Policy

SETTINGS = PretrainSettings(epochs=4, batch_size=8)


def arguments(folder: Path, settings: PretrainSettings = SETTINGS) -> list[str]:
    return pretrain_arguments(folder, out="pretrain", settings=settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    write_tokens(tmp_path / "tokenize")
    return tmp_path


def test_outputs(folder: Path) -> None:
    run_pretrain(arguments(folder))
    policy = Policy.load(folder / "pretrain")
    assert policy.space_group_counts[[2, 62, 225]].tolist() == [10, 10, 6]
    assert policy.space_group_counts.sum() == 26
    history = read_table(folder / "pretrain" / "history.parquet")
    assert history["epoch"].tolist() == list(range(len(history)))
    assert history["val_loss"].notna().all()
    assert history["train_lattice"].isna().tolist() == [True] + [False] * (len(history) - 1)
    record = read_json(folder / "pretrain" / "provenance.json")
    assert record["counts"]["train"] == 26
    assert record["counts"]["processes"] == 1
    assert record["counts"]["items"] == 26 * (len(history) - 1)
    assert set(record["settings"]) == {"pretrain", "model"}
    assert not (folder / "checkpoints" / "pretrain").exists()


def test_checkpoints_of_other_settings_are_not_used(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    args = arguments(folder)
    with pytest.raises(SystemExit) as stop:
        run_pretrain([*args, "--minutes=0"])
    assert stop.value.code == EXIT_CODE
    other = SETTINGS.model_copy(update={"epochs": 1})
    run_pretrain(arguments(folder, settings=other))
    assert "made under other settings" in caplog.text
    counts = read_json(folder / "pretrain" / "provenance.json")["counts"]
    assert counts["steps_of_this_job"] == counts["steps"] == 4


def test_unknown_setting_is_refused(folder: Path) -> None:
    args = arguments(folder)
    args[0] = "--settings=" + json.dumps({"epoch": 3})
    with pytest.raises(ValueError, match="epoch"):
        run_pretrain(args)


def test_validation_on_schedule(folder: Path) -> None:
    settings = SETTINGS.model_copy(update={"validate_every": 3, "ema_decay": 0.9})
    run_pretrain(arguments(folder, settings))
    history = read_table(folder / "pretrain" / "history.parquet")
    assert history["val_loss"].notna().tolist() == [True, False, False, True, True]
    assert history["train_loss"].notna().tolist() == [False, True, True, True, True]


def test_padded_tokens_are_refused_by_name(folder: Path) -> None:
    path = folder / "tokenize" / "tokens-val.safetensors"
    arrays = read_tensors(path)
    write_tensors(path, {name: array for name, array in arrays.items() if name != "offset"})
    with pytest.raises(ValueError, match=r"tokens-val\.safetensors: .*'offset'"):
        run_pretrain(arguments(folder))


def test_tokens_that_are_cut_short_are_refused_by_name(folder: Path) -> None:
    path = folder / "tokenize" / "tokens-train.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"tokens-train\.safetensors: not a readable"):
        run_pretrain(arguments(folder))


def test_tensorboard_shows_the_history(folder: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="the package tensorboard is not installed",
    )
    with pytest.raises(SystemExit):
        run_pretrain([*arguments(folder), "--minutes=0", f"--tensorboard={folder / 'board'}"])
    run_pretrain([*arguments(folder), f"--tensorboard={folder / 'board'}"])
    history = read_table(folder / "pretrain" / "history.parquet")
    events = reader.EventAccumulator(str(folder / "board"))
    events.Reload()
    for name in ("train_loss", "val_position", "learning_rate"):
        known = history[history[name].notna()]
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == known["step"].tolist()
        np.testing.assert_allclose([value for _, value in found], known[name], rtol=1e-6)


def test_tensorboard_that_is_missing_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        run_pretrain([*arguments(folder), f"--tensorboard={folder / 'board'}"])


def test_a_training_continues_from_a_policy(folder: Path) -> None:
    model = TINY.model_copy(update={"layers": 1, "dropout": 0.0})
    Policy(model, seed=7, space_group_counts=np.ones(231, dtype=np.int64)).save(folder / "given")
    settings = SETTINGS.model_copy(update={"epochs": 1, "patience": None, "start": "given"})
    run_pretrain([*arguments(folder, settings), f"--start={folder / 'given'}"])
    arrays = read_tensors(folder / "tokenize" / "tokens-val.safetensors")
    validation = PackedTokens.from_arrays(arrays)[np.arange(4)]
    expected = -Policy.load(folder / "given").log_prob(validation).total.mean().item()
    history = read_table(folder / "pretrain" / "history.parquet")
    assert history["val_loss"][0] == pytest.approx(expected)
    trained = Policy.load(folder / "pretrain")
    assert trained.settings == model.model_copy(update={"dropout": TINY.dropout})
    assert trained.space_group_counts.sum() == 26
    record = read_json(folder / "pretrain" / "provenance.json")
    assert record["settings"]["model"]["layers"] == 1
    assert [Path(file["path"]).name for file in record["inputs"]["start"]] == [
        "model.safetensors",
        "model.json",
    ]
