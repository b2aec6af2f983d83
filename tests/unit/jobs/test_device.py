import ctypes
import resource
from collections.abc import Callable

import pytest
import torch

from crystalformer_rl.jobs.device import PATIENCE, Room, keep_freed_memory


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_memory_that_a_tensor_frees_serves_the_next_one() -> None:
    keep_freed_memory()
    torch.ones(2**25, dtype=torch.uint8)
    before = faults()
    torch.ones(2**24, dtype=torch.uint8)
    assert faults() - before < 2**24 / resource.getpagesize() / 10


def within(memory: int, tried: list[int]) -> Callable[[int], int]:
    """Work that needs as much memory as it does at once, and notes what was tried."""

    def work(most: int) -> int:
        tried.append(most)
        if most > memory:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return most

    return work


def test_halving_starts_from_the_work_and_is_remembered() -> None:
    room, tried = Room(1000, unit="units"), []
    assert room.attempt(within(30, tried), size=100) == 25
    assert room.attempt(within(30, tried), size=100) == 25
    assert tried == [100, 50, 25, 25]


def test_a_single_unit_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Room(4, unit="units").attempt(within(0, []), size=4)


def test_another_error_is_not_retried() -> None:
    def work(most: int) -> None:
        raise RuntimeError(f"{most} shapes do not match")

    room = Room(4, unit="units")
    with pytest.raises(RuntimeError, match="4 shapes"):
        room.attempt(work, size=10)
    assert room.most == 4


def test_a_halved_room_grows_after_full_work_only() -> None:
    room = Room(64, unit="units")
    room.attempt(within(16, []), size=64)
    for _ in range(PATIENCE):
        room.attempt(within(64, []), size=64)
        room.fitted(8)
    assert room.most == 16
    for _ in range(PATIENCE):
        room.fitted(64)
    assert room.most == 32
    for _ in range(10 * PATIENCE):
        room.fitted(64)
    assert room.most == 32
