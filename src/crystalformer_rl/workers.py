"""Work spread over processes."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    processes: int,
    chunk: int = 1,
    window: int = 256,
) -> Iterator[Result]:
    """``map(work, items)``, in order, by so many processes; in this one if there is one.

    Parameters
    ----------
    work
        Can be pickled.
    chunk
        Items that are sent to a process at a time.
    window
        Chunks that are taken from ``items`` at a time: a pool would take all at once, and millions
        of crystals are more than the memory.

    Raises
    ------
    ValueError
        If there is not at least one process.
    ChildProcessError
        If a process dies.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    left = iter(items)
    if processes == 1:
        yield from map(work, left)
        return
    # Not fork: the caller may run threads (torch, pyarrow), which a forked child would lack.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            while part := list(islice(left, window * chunk)):
                yield from pool.map(work, part, chunksize=chunk)
        except BrokenProcessPool as error:
            raise ChildProcessError(
                f"one of {processes} worker processes died: killed, or out of memory?"
            ) from error


def _end_with_parent() -> None:
    """Let this process end when its parent does, which may be killed without a word to it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(os.EX_UNAVAILABLE)

    threading.Thread(target=wait, daemon=True).start()
