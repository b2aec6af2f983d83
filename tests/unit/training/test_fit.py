"""Likelihood training: exact continuation, validation, patience, what stops it."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from crystalformer_rl.config import OptimiserSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.loop import DivergedError, Interrupted, Loop
from crystalformer_rl.training.pretrain import PARTS, Row, fit, mean_loss

NewPolicy = Callable[[], Policy]
NewLoop = Callable[..., Loop]

SETTINGS = OptimiserSettings(epochs=4, batch_size=8, learning_rate=0.01, warmup_steps=3)
STEPS = 4 * 4


def terminate_before(step: int) -> Callable[[Iterable[int]], Iterator[int]]:
    """A real SIGTERM that arrives during one step."""

    def track(steps: Iterable[int]) -> Iterator[int]:
        for number in steps:
            if number == step:
                os.kill(os.getpid(), signal.SIGTERM)
            yield number

    return track


def train(
    policy: Policy,
    crystals: CrystalTokens,
    loop: Loop,
    *,
    settings: OptimiserSettings = SETTINGS,
    patience: int | None = None,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> list[Row]:
    with loop:
        return fit(
            policy,
            crystals[:26],
            crystals[26:],
            settings=settings,
            seed=5,
            loop=loop,
            ids=[f"mp-{i}" for i in range(26)],
            patience=patience,
            track=track,
        )


def assert_same_weights(a: Policy, b: Policy) -> None:
    other = b.state_dict()
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("patience", [None, 2])
def test_interrupted_twice_equals_straight(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens, patience: int | None
) -> None:
    straight = new_policy()
    history = train(straight, crystals, new_loop(name="straight"), patience=patience)

    for step in (2, 7):
        with pytest.raises(Interrupted):
            train(
                new_policy(), crystals, new_loop(), patience=patience, track=terminate_before(step)
            )
    torch.manual_seed(99)
    resumed = new_policy()
    assert train(resumed, crystals, new_loop(), patience=patience) == history
    assert_same_weights(straight, resumed)


def test_damaged_newest_checkpoint_costs_steps_and_not_exactness(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens, tmp_path: Path
) -> None:
    straight = new_policy()
    train(straight, crystals, new_loop(name="straight"))
    with pytest.raises(Interrupted):
        train(new_policy(), crystals, new_loop(minutes=0), track=terminate_before(9))
    newest = max((tmp_path / "checkpoints").rglob("*.safetensors"))
    assert newest.name.startswith("000000010-")
    newest.write_bytes(newest.read_bytes()[:-10])
    resumed = new_policy()
    train(resumed, crystals, new_loop())
    assert_same_weights(straight, resumed)


def test_time_limit_advances_a_step_at_a_time(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    straight = new_policy()
    train(straight, crystals, new_loop(name="straight"))
    for _ in range(STEPS):
        with pytest.raises(Interrupted):
            train(new_policy(), crystals, new_loop(limit=0))
    resumed = new_policy()
    train(resumed, crystals, new_loop(limit=0))
    assert_same_weights(straight, resumed)


def test_history_and_learning(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    policy = new_policy()
    untrained = mean_loss(policy, crystals[26:], batch_size=8)
    history = train(policy, crystals, new_loop())
    assert [(row["epoch"], row["step"]) for row in history] == [(i, 4 * i) for i in range(5)]
    assert history[0]["train_loss"] is None
    assert [history[0][f"val_{part}"] for part in PARTS] == untrained
    for split in ("train", "val"):
        row = history[-1]
        assert row[f"{split}_loss"] == sum(row[f"{split}_{part}"] for part in PARTS)
    assert history[-1]["train_loss"] < history[1]["train_loss"]
    assert history[-1]["learning_rate"] == SETTINGS.learning_rate
    assert mean_loss(policy, crystals[26:], batch_size=2) == pytest.approx(
        [history[-1][f"val_{part}"] for part in PARTS], rel=1e-5
    )


def test_without_validation_row_0_is_the_training_loss(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    policy = new_policy()
    expected = sum(mean_loss(policy, crystals, batch_size=8))
    with new_loop() as loop:
        history = fit(
            policy,
            crystals,
            CrystalTokens.empty(6),
            settings=SETTINGS,
            seed=5,
            loop=loop,
            ids=range(30),
        )
    assert history[0]["train_loss"] == expected
    assert all(row["val_loss"] is None for row in history)


def test_patience_stops_and_returns_to_the_best(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    wild = OptimiserSettings(epochs=200, batch_size=8, learning_rate=0.1)
    policy = new_policy()
    history = train(policy, crystals, new_loop(), settings=wild, patience=2)
    losses = [row["val_loss"] for row in history]
    assert len(history) < 201
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    assert sum(mean_loss(policy, crystals[26:], batch_size=8)) == min(losses)


def test_not_finite_names_step_crystals_and_checkpoint(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens, tmp_path: Path
) -> None:
    arrays = crystals.to_arrays()
    lattice = arrays["lattice"].copy()
    lattice[13, 0] = np.nan
    broken = CrystalTokens(**(arrays | {"lattice": lattice}))
    policy = new_policy()
    with pytest.raises(DivergedError, match=r"step \d: the loss is not finite") as stop:
        train(policy, broken, new_loop())
    assert "mp-13" in str(stop.value)
    (path,) = (tmp_path / "checkpoints").rglob("*.safetensors")
    assert str(path) in str(stop.value)
    assert all(torch.isfinite(tensor).all() for tensor in policy.state_dict().values())


def test_nothing_to_train_on_and_patience_without_validation(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    with pytest.raises(ValueError, match="no crystal to train on"):
        train(new_policy(), crystals[:0], new_loop())
    with pytest.raises(ValueError, match="patience needs validation"):
        train(new_policy(), crystals[:26], new_loop(), patience=1)
