"""The device of a stage: its choice, its memory, and its errors when no memory is left."""

import ctypes
import logging
import os
import shutil
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray

T = TypeVar("T")
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
FULL = 0.75
PATIENCE = 10
COMPILERS = ("cc", "gcc", "clang")
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

log = logging.getLogger(__name__)


def best_device() -> str:
    """``cuda`` (the first visible GPU) or, without a GPU, ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or on the CPU.

    Only the CUDA allocator and Python raise a specific exception; other failures are recognised by
    their message.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


def free_memory(device: torch.device) -> int | None:
    """Bytes that this process can still allocate on a GPU; None on a CPU.

    What torch keeps for itself, but does not use, counts as free.
    """
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def uploaded(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """The array as a tensor on ``device``; it may share memory with the array on a CPU.

    The host does not wait until a GPU has finished what it was asked for before, as it does in
    ``torch.tensor(array, device=…)``.
    """
    return torch.from_numpy(array).to(device, non_blocking=True)


@cache
def keep_freed_memory() -> None:
    """Let this process use the memory of tensors that it frees on the CPU again.

    By default glibc returns every large block to the kernel, which clears its pages when it hands
    them out again. This takes a fifth of a training step on a CPU. Afterwards a process keeps until
    it ends what it once needed; its largest size is the same. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def missing_for_compiling() -> str | None:
    """What ``torch.compile`` needs on a GPU and this machine does not have, or None.

    Triton compiles the launcher of its kernels in C, with the header of Python.
    """
    compiler = os.environ.get("CC")
    if not any(map(shutil.which, [compiler] if compiler else COMPILERS)):
        return f"a C compiler ({compiler or ', '.join(COMPILERS)})"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return None if header.is_file() else f"the header {header}"


class Limit:
    """Units of work at once: halved when they do not fit into memory, and doubled again later.

    Another process on the device may have been the reason. The number is therefore doubled after
    ten full pieces of work, but never beyond half of the largest that failed. If that fails too, it
    waits for twice as many.

    Attributes
    ----------
    most
        The present number, at least one.
    """

    def __init__(self, most: int) -> None:
        self.most = max(1, most)
        self._ceiling = 0  # 0: nothing has failed
        self._patience, self._full, self._regrown = PATIENCE, 0, False

    def shrink(self, units: int) -> None:
        """Record that ``units`` at once did not fit."""
        self.most = max(1, units // 2)
        self._ceiling = max(self._ceiling, self.most)
        if self._regrown:
            self._patience *= 2
        self._full, self._regrown = 0, False

    def fitted(self, units: int) -> None:
        """Record that work of ``units`` is done; if it is far from full, it says nothing."""
        if self.most < self._ceiling and units >= FULL * self.most:
            self._full += 1
            if self._full == self._patience:
                self.most = min(2 * self.most, self._ceiling)
                self._full, self._regrown = 0, True


class Room(Limit):
    """The units of work, such as tokens, that :meth:`attempt` tries at once.

    It grows only where a loop calls :meth:`fitted`, for example after each step.

    Parameters
    ----------
    most
        Units at once; at least one.
    unit
        Their name, in the plural, for the log.
    """

    def __init__(self, most: int, *, unit: str) -> None:
        super().__init__(most)
        self._unit = unit
        keep_freed_memory()

    def attempt(self, work: Callable[[int], T], *, size: int) -> T:
        """``work(most)``; while memory is short, again from its start with half as much.

        ``work`` must be repeatable: it must set or reset whatever it changes.

        Parameters
        ----------
        size
            Units of the whole work. It is never asked to do more at once, so that half of what
            failed is less than what failed.

        Raises
        ------
        RuntimeError, MemoryError
            If a single unit does not fit, or for another reason.
        """
        while True:
            most = max(1, min(self.most, size))
            try:
                return work(most)
            except (RuntimeError, MemoryError) as error:
                if most == 1 or not is_out_of_memory(error):
                    raise
            # Only after the except block does the error no longer reference the tensors.
            torch.cuda.empty_cache()
            log.warning("%d %s do not fit into memory: now half of it", most, self._unit)
            self.shrink(most)
