"""Work spread over processes."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from tqdm import tqdm

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
    """``map(work, items)``, in order, in ``processes`` workers; in this process if it is 1.

    Every worker has its own pipe, which closes with it, so a worker that dies is an error here,
    whenever it dies. Workers end with this process, however it ends.

    The libraries do not do this: the pool of ``concurrent.futures`` waits for ever when a worker
    dies while another one starts, and its workers outlive a process that is killed; joblib reads
    all items ahead when its results are consumed slowly.

    Parameters
    ----------
    work
        Can be pickled.
    chunk
        Items that are sent to a process at a time.
    window
        Chunks that are under way or wait for an earlier one at a time: millions of crystals are
        more than the memory.

    Raises
    ------
    ValueError
        If there is not at least one process.
    ChildProcessError
        If a process dies.
    Exception
        What ``work`` raises.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    left = iter(items)
    if processes == 1:
        yield from map(work, left)
        return
    with _workers(work, processes) as idle:
        busy: dict[Connection, int] = {}
        done: dict[int, list[Result]] = {}
        given = first = 0
        while True:
            while idle and given - first < window and (part := list(islice(left, chunk))):
                connection = idle.pop()
                with _deaths_noticed(processes):
                    connection.send(part)
                busy[connection] = given
                given += 1
            if not busy:
                return
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                with _deaths_noticed(processes):
                    answer = ready.recv()
                if isinstance(answer, Exception):
                    raise answer
                done[busy.pop(ready)] = answer
                idle.append(ready)
            while first in done:
                yield from done.pop(first)
                first += 1


@contextmanager
def _workers(work: Callable[[Any], Any], processes: int) -> Iterator[list[Connection]]:
    """Connections to ``processes`` workers, which are killed afterwards."""
    # Not fork: the caller may run threads (torch, pyarrow), which a forked child would lack.
    context = multiprocessing.get_context("spawn")
    started: list[SpawnProcess] = []
    connections: list[Connection] = []
    try:
        for _ in range(processes):
            ours, theirs = context.Pipe()
            worker = context.Process(target=_serve, args=(work, theirs), daemon=True)
            worker.start()
            theirs.close()
            started.append(worker)
            connections.append(ours)
        yield connections
    finally:
        for worker in started:
            worker.kill()
            worker.join()


@contextmanager
def _deaths_noticed(processes: int) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise ChildProcessError(
            f"one of {processes} worker processes died: killed, or out of memory?"
        ) from error


def _serve(work: Callable[[Any], Any], connection: Connection) -> None:
    """Work until the other side is closed or its process has ended."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Bars of libraries make a lock with a semaphore, which a killed worker leaves behind.
    tqdm.set_lock(threading.RLock())
    with suppress(EOFError, OSError):
        while True:
            connection.send(_answer(work, connection.recv()))


def _answer(work: Callable[[Any], Any], items: list[Any]) -> list[Any] | Exception:
    try:
        return [work(item) for item in items]
    except Exception as error:
        return error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(os.EX_UNAVAILABLE)
