"""Checkpoints: exact, atomic, self-verifying, never mixed."""

import logging
from pathlib import Path

import pytest
import torch

from crystalformer_rl.jobs.checkpoints import (
    Checkpoint,
    Checkpoints,
    restore_training,
    training_tensors,
)


def checkpoint(number: int) -> Checkpoint:
    tensors = {"a": torch.full((3,), float(number)), "rng": torch.get_rng_state()}
    return Checkpoint(tensors, {"step": number, "loss": [0.1 + 0.2, None]})


def test_round_trip_is_exact(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, key={"seed": 1})
    assert store.newest() is None
    saved = checkpoint(7)
    store.save(7, saved)
    found = Checkpoints(tmp_path, key={"seed": 1}).newest()
    assert found is not None
    assert found.values == saved.values
    assert all(torch.equal(found.tensors[name], saved.tensors[name]) for name in saved.tensors)
    assert found.tensors["rng"].dtype == torch.uint8


def test_keeps_the_newest_three(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, key={})
    for number in (2, 9, 10, 101):
        store.save(number, checkpoint(number))
    assert [int(path.name.partition("-")[0]) for path in store.paths()] == [9, 10, 101]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_damaged_newest_is_passed_over(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Checkpoints(tmp_path, key={})
    for number in (1, 2):
        store.save(number, checkpoint(number))
    path = store.paths()[-1]
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    path.write_bytes({"flip": data, "cut": data[: len(data) // 2], "empty": b""}[damage])
    found = store.newest()
    assert found is not None
    assert found.values["step"] == 1
    assert str(path) in caplog.text
    assert "damaged" in caplog.text


def test_damaged_ones_do_not_push_out_what_comes_after(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, key={})
    for number in (100, 200, 300):
        store.save(number, checkpoint(number)).write_bytes(b"damaged")
    assert store.newest() is None
    saved = [store.save(number, checkpoint(number)) for number in (10, 20)]
    assert store.paths() == saved
    found = store.newest()
    assert found is not None
    assert found.values["step"] == 20


def test_other_settings_are_ignored_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Checkpoints(tmp_path, key={"learning_rate": 1}).save(5, checkpoint(5))
    other = Checkpoints(tmp_path, key={"learning_rate": 2})
    assert other.newest() is None
    assert "other settings" in caplog.text


def test_what_is_kept_when_the_training_has_finished(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, key={"learning_rate": 1})
    store.keep_newest()
    Checkpoints(tmp_path, key={"learning_rate": 2}).save(5, checkpoint(5))
    for number in (1, 2):
        path = store.save(number, checkpoint(number))
    store.keep_newest()
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


def test_other_code_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Checkpoints(tmp_path, key={}, code="a").save(5, checkpoint(5))
    with caplog.at_level(logging.WARNING):
        assert Checkpoints(tmp_path, key={}, code="b").newest() is not None
    assert "another version of the code" in caplog.text


def test_optimiser_continues_exactly(tmp_path: Path) -> None:
    def train(steps: int, *, stop: int | None = None) -> torch.Tensor:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 2)
        optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
        for step in range(steps):
            if step == stop:
                store.save(step, Checkpoint(training_tensors(model, optimiser), {}))
                torch.manual_seed(9)
                model = torch.nn.Linear(4, 2)
                optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
                found = store.newest()
                assert found is not None
                restore_training(found, model, optimiser)
            optimiser.zero_grad()
            model(torch.full((1, 4), float(step))).square().sum().backward()
            optimiser.step()
        return model.weight.detach()

    store = Checkpoints(tmp_path, key={})
    assert torch.equal(train(6), train(6, stop=3))
