"""Signals, the time limit and the clock."""

import os
import signal
from pathlib import Path

import pytest
import torch

from crystalformer_rl.jobs.checkpoints import Checkpoint, Checkpoints
from crystalformer_rl.jobs.loop import Interrupted, Loop
from crystalformer_rl.jobs.parallel import Parallel


def make(folder: Path, *, limit: float | None = None, between: float = 1e6) -> Loop:
    store = Checkpoints(folder, key={})
    return Loop(store, checkpoint_minutes=between, limit_minutes=limit)


def state_of(step: int) -> Checkpoint:
    return Checkpoint({"weight": torch.zeros(1)}, {"step": step})


def numbers(folder: Path) -> list[int]:
    return [int(path.name.partition("-")[0]) for path in Checkpoints(folder, key={}).paths()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_the_step_and_leaves_with_75(
    tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    work = []
    with pytest.raises(Interrupted) as stop, make(tmp_path) as loop:
        for step in range(5):
            if step == 2:
                os.kill(os.getpid(), number)
            work.append(step)
            loop.step_done(step + 1, lambda: state_of(len(work)))
    assert stop.value.code == 75
    assert work == [0, 1, 2]
    assert numbers(tmp_path) == [3]
    assert signal.getsignal(number) is before


def test_second_interrupt_from_the_keyboard_is_obeyed_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), make(tmp_path):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_interruptible_block_is_cut_short(tmp_path: Path) -> None:
    reached = []
    with (
        pytest.raises(Interrupted),
        make(tmp_path) as loop,
        loop.interruptible(4, lambda: state_of(4)),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        reached.append("end of block")
    assert not reached
    assert numbers(tmp_path) == [4]


def test_interruptible_block_does_not_start_after_a_signal(tmp_path: Path) -> None:
    reached = []
    with pytest.raises(Interrupted), make(tmp_path) as loop:
        os.kill(os.getpid(), signal.SIGTERM)
        with loop.interruptible(4, lambda: state_of(4)):
            reached.append("block")
    assert not reached
    assert numbers(tmp_path) == [4]


def test_limit_stops_after_at_least_one_step(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), make(tmp_path, limit=0.0) as loop:
        loop.step_done(1, lambda: state_of(1))
    assert numbers(tmp_path) == [1]


def test_several_processes_stop_when_all_know_and_not_before(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), make(tmp_path) as loop:
        assert not loop.wants_to_stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert loop.wants_to_stop()
        loop.step_done(1, lambda: state_of(1), stop=False)
        loop.step_done(2, lambda: state_of(2), stop=True)
    assert numbers(tmp_path) == [2]


def test_another_process_stops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Interrupted), make(tmp_path) as loop:
        loop.step_done(1, lambda: state_of(1), stop=True)
    assert "another process stops" in caplog.text


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, key={})
    second = Parallel(rank=1, size=1, device=torch.device("cpu"))
    with Loop(store, checkpoint_minutes=0, parallel=second) as loop:
        loop.step_done(1, lambda: state_of(1))
    assert numbers(tmp_path) == []


def test_far_limit_does_not_stop(tmp_path: Path) -> None:
    with make(tmp_path, limit=1000) as loop:
        loop.step_done(1, lambda: state_of(1))
    assert numbers(tmp_path) == []


def test_checkpoint_by_the_clock_and_none_in_between(tmp_path: Path) -> None:
    with make(tmp_path / "often", between=0.0) as loop:
        for step in (1, 2):
            loop.step_done(step, lambda step=step: state_of(step))
    assert numbers(tmp_path / "often") == [1, 2]
    loop.finish()
    assert numbers(tmp_path / "often") == [2]


def test_diverged_names_step_crystals_and_checkpoint(tmp_path: Path) -> None:
    with make(tmp_path) as loop:
        error = loop.diverged("the loss", 12, ["mp-1", "mp-2"], state_of(12))
    (path,) = Checkpoints(tmp_path, key={}).paths()
    for part in ("step 12", "the loss", "mp-1, mp-2;", str(path)):
        assert part in str(error)


def test_diverged_lists_many_crystals_in_a_file(tmp_path: Path) -> None:
    names = [f"mp-{number}" for number in range(8000)]
    with make(tmp_path) as loop:
        error = str(loop.diverged("the loss", 12, names, state_of(12)))
    (listed,) = tmp_path.rglob("*.txt")
    assert "mp-0, mp-1, mp-2, " in error
    assert f"mp-19 and 7980 more, listed in {listed};" in error
    assert listed.read_text().split() == names
    assert len(error) < 1000
