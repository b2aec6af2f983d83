"""Likelihood training: exact continuation, validation, patience, what stops it."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from crystalformer_rl.config import OptimiserSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.checkpoints import Checkpoints
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.loop import DivergedError, Interrupted, Loop
from crystalformer_rl.jobs.parallel import alone
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.transformer import Transformer
from crystalformer_rl.training.batches import Crystals
from crystalformer_rl.training.fit import Row, fit
from crystalformer_rl.training.losses import PARTS, mean_loss

NewPolicy = Callable[[], Policy]
NewLoop = Callable[..., Loop]

SETTINGS = OptimiserSettings(epochs=4, batch_size=8, learning_rate=0.125, warmup_steps=3)
RATE = 0.01  # for a batch of 8
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
    validate_every: int = 1,
    held: Callable[[CrystalTokens], Crystals] = lambda tokens: tokens,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
    record: Callable[[Row], None] | None = None,
) -> list[Row]:
    with loop:
        return fit(
            policy,
            held(crystals[:26]),
            held(crystals[26:]),
            settings=settings,
            seed=5,
            loop=loop,
            name_of=lambda index: f"mp-{index}",
            validate_every=validate_every,
            patience=patience,
            track=track,
            record=record,
            parallel=alone(best_device()),
        )


def assert_same_weights(a: Policy, b: Policy) -> None:
    other = b.state_dict()
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("decay", [None, 0.9])
@pytest.mark.parametrize("patience", [None, 2])
def test_interrupted_twice_equals_straight(
    new_policy: NewPolicy,
    new_loop: NewLoop,
    crystals: CrystalTokens,
    patience: int | None,
    decay: float | None,
) -> None:
    settings = SETTINGS.model_copy(update={"ema_decay": decay})
    options = {"settings": settings, "patience": patience, "validate_every": 2}
    straight = new_policy()
    history = train(straight, crystals, new_loop(name="straight"), **options)

    for step in (2, 7):
        with pytest.raises(Interrupted):
            train(new_policy(), crystals, new_loop(), track=terminate_before(step), **options)
    torch.manual_seed(99)
    resumed = new_policy()
    assert train(resumed, crystals, new_loop(), **options) == history
    assert_same_weights(straight, resumed)


def test_packed_crystals_train_the_same_weights(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    padded, packed = new_policy(), new_policy()
    history = train(padded, crystals, new_loop(name="padded"))
    assert train(packed, crystals, new_loop(), held=PackedTokens.from_tokens) == history
    assert_same_weights(padded, packed)


def test_averages_are_validated_and_kept(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    plain, averaged = new_policy(), new_policy()
    settings = SETTINGS.model_copy(update={"ema_decay": 0.9})
    without = train(plain, crystals, new_loop(name="plain"))
    history = train(averaged, crystals, new_loop(), settings=settings)
    assert [row["train_loss"] for row in history] == [row["train_loss"] for row in without]
    assert history[0] == without[0]
    assert history[-1]["val_loss"] != without[-1]["val_loss"]
    kept = sum(mean_loss(averaged, crystals[26:], batch_size=8))
    assert kept == history[-1]["val_loss"]


def test_validation_on_schedule_and_after_the_last_epoch(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    rows: list[Row] = []
    settings = SETTINGS.model_copy(update={"epochs": 5})
    history = train(
        new_policy(), crystals, new_loop(), settings=settings, validate_every=3, record=rows.append
    )
    judged = [row["epoch"] for row in history if row["val_loss"] is not None]
    assert judged == [0, 3, 5]
    assert all(row["train_loss"] is not None for row in history[1:])
    assert rows == history


def test_patience_counts_validations(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    wild = OptimiserSettings(epochs=200, batch_size=8, learning_rate=1.25)
    history = train(new_policy(), crystals, new_loop(), settings=wild, patience=2, validate_every=3)
    judged = [(row["epoch"], row["val_loss"]) for row in history if row["val_loss"] is not None]
    assert [epoch for epoch, _ in judged] == list(range(0, 3 * len(judged), 3))
    losses = [loss for _, loss in judged]
    assert len(losses) - 1 - int(np.argmin(losses)) == 2


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
    rates = [row["learning_rate"] for row in history[1:]]
    assert rates == [pytest.approx(RATE)] * 4
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
            name_of=str,
        )
    assert history[0]["train_loss"] == expected
    assert all(row["val_loss"] is None for row in history)


def test_patience_stops_and_returns_to_the_best(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    wild = OptimiserSettings(epochs=200, batch_size=8, learning_rate=1.25)
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
    assert "crystals of the batch: mp-13 (not finite by itself), mp-" in str(stop.value)
    (path,) = (tmp_path / "checkpoints").rglob("*.safetensors")
    assert str(path) in str(stop.value)
    assert all(torch.isfinite(tensor).all() for tensor in policy.state_dict().values())


def test_nothing_to_train_on_and_patience_without_validation(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    with pytest.raises(ValueError, match="no crystals to train on"):
        train(new_policy(), crystals[:0], new_loop())
    with pytest.raises(ValueError, match="patience needs validation"):
        train(new_policy(), crystals[:26], new_loop(), patience=1)


def test_validation_that_is_not_finite_names_the_crystal(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens
) -> None:
    lattice = crystals.lattice.copy()
    lattice[27, 0] = np.nan
    broken = CrystalTokens(**(crystals.to_arrays() | {"lattice": lattice}))
    with pytest.raises(ValueError, match=r"4 crystals is not finite.*non-finite loss: \[1\]"):
        train(new_policy(), broken, new_loop())


def test_checkpoint_holds_the_averages(
    new_policy: NewPolicy, new_loop: NewLoop, crystals: CrystalTokens, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"ema_decay": 0.9})
    with pytest.raises(Interrupted):
        train(new_policy(), crystals, new_loop(), settings=settings, track=terminate_before(2))
    checkpoint = Checkpoints(tmp_path / "checkpoints", key={}).newest()
    assert checkpoint is not None
    weights = dict(new_policy().named_parameters())
    averages = {n.removeprefix("average.") for n in checkpoint.tensors if n.startswith("average.")}
    assert averages == weights.keys()
    assert all(checkpoint.tensors[f"average.{name}"].dtype == torch.float32 for name in averages)


def test_cosine_schedule_is_that_of_torch(
    new_policy: NewPolicy, crystals: CrystalTokens, new_loop: NewLoop
) -> None:
    settings = SETTINGS.model_copy(update={"schedule": "cosine"})
    history = train(new_policy(), crystals, new_loop(), settings=settings)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=RATE)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS - settings.warmup_steps)
    expected = []
    for _ in range(settings.warmup_steps, STEPS):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        decay.step()
    # The first epoch has three steps of warm-up; a row has the rate of the epoch's last step.
    rates = [row["learning_rate"] for row in history[1:]]
    assert rates == pytest.approx(expected[::4])


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Transformer]:
    """The networks that are compiled, in trainings of at least ``STEPS`` steps; none really is."""
    found: list[Transformer] = []

    def note(network: Transformer) -> None:
        found.append(network)

    monkeypatch.setattr("crystalformer_rl.training.fit.COMPILED_FROM", STEPS)
    monkeypatch.setattr(Transformer, "compile_blocks", note)
    return found


@pytest.mark.gpu
def test_compiled_on_a_gpu_if_enough_steps_are_left(
    new_policy: NewPolicy,
    new_loop: NewLoop,
    crystals: CrystalTokens,
    compilations: list[Transformer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crystalformer_rl.training.fit.missing_for_compiling", lambda: None)
    expected = [1, 1] if best_device() == "cuda" else [0, 0]
    found = []
    with pytest.raises(Interrupted):
        train(new_policy(), crystals, new_loop(), track=terminate_before(2))
    found.append(len(compilations))
    train(new_policy(), crystals, new_loop())
    found.append(len(compilations))
    assert found == expected


@pytest.mark.gpu
def test_without_a_compiler_the_training_runs_and_says_so(
    new_policy: NewPolicy,
    new_loop: NewLoop,
    crystals: CrystalTokens,
    compilations: list[Transformer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", "/missing/cc")
        history = train(new_policy(), crystals, new_loop())
    assert history[-1]["step"] == STEPS
    assert not compilations
    warned = "this machine lacks a C compiler (/missing/cc)" in caplog.text
    assert warned == (best_device() == "cuda")
