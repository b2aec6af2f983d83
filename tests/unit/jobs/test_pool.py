"""Work over processes: in order, in windows, and nobody outlives a killed parent."""

import operator
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tqdm import tqdm

from crystalformer_rl.jobs.pool import spread

SECONDS = 600
# Its workers wait for longer than any test.
PARENT = """
from crystalformer_rl.jobs.pool import spread
from test_pool import hang
if __name__ == "__main__":
    list(spread(hang, range(2), processes=2))
"""


def hang(_: int) -> None:
    sys.stdout.write("here\n")
    sys.stdout.flush()
    signal.pause()


def draw_a_bar(_: int) -> None:
    list(tqdm(range(3), disable=False))


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("processes", [1, 2])
def test_answers_come_in_order(processes: int) -> None:
    work = partial(operator.mul, 2)
    found = spread(work, range(11), processes=processes, chunk=2, window=2)
    assert list(found) == list(range(0, 22, 2))


def test_no_more_is_taken_than_a_window() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    found = spread(operator.neg, items(), processes=2, chunk=2, window=3)
    assert next(found) == 0
    assert len(taken) <= 6
    found.close()


def test_a_dead_worker_is_an_error_and_no_hang() -> None:
    with pytest.raises(ChildProcessError, match="one of 2 worker processes died"):
        list(spread(die, range(4), processes=2))


def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(spread(int, ["1", "x"], processes=2))


def test_at_least_one_process() -> None:
    with pytest.raises(ValueError, match="processes must be at least 1, got 0"):
        list(spread(operator.neg, [1], processes=0))


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert [parent.stdout.readline() for _ in range(2)] == [b"here\n"] * 2
    parent.kill()
    # The pipe ends when the last process that writes to it does.
    parent.communicate(timeout=SECONDS)


def test_a_bar_in_a_worker_leaves_nothing_behind(tmp_path: Path) -> None:
    """Python warns of the semaphores of a killed worker when the parent ends."""
    script = tmp_path / "bars.py"
    script.write_text(PARENT.replace("hang", "draw_a_bar"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    found = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    )
    assert "leaked" not in found.stderr
