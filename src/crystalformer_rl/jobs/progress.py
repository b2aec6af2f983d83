"""Progress of a job: a bar on a terminal, regular lines in a log file."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 30.0
_BARS = ContextVar("bars", default=True)

log = logging.getLogger(__name__)


class Progress:
    """Counts items; use it as a context manager around the work.

    On a terminal a tqdm bar is drawn on stderr. In both cases the log gets a line every 30 s and
    one at the end. ``crystalformer-rl status`` reads these lines.

    Parameters
    ----------
    label
        Name of the work, such as ``"tokenize"``.
    total
        Number of items; None if it is not known.
    done
        Items that an interrupted job before this one has done.
    """

    def __init__(self, label: str, total: int | None, *, done: int = 0) -> None:
        self._label, self._total = label, total
        self._before = self._count = done
        self._start = self._last = time.monotonic()
        # Without bars none is made: its lock is a semaphore, which a killed worker leaves behind.
        self._bar = (
            tqdm(desc=label, total=total, initial=done, disable=None) if _BARS.get() else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if kind is None:
            seconds = time.monotonic() - self._start
            log.info("%s: %d done in %s", self._label, self._count, duration(seconds))

    def update(self, count: int = 1) -> None:
        """Count items that are done."""
        self._count += count
        if self._bar is not None:
            self._bar.update(count)
        now = time.monotonic()
        if now - self._last > SECONDS_BETWEEN_LINES:
            self._last = now
            log.info("%s", self._line(now - self._start))

    def _line(self, seconds: float) -> str:
        if self._total is None:
            return f"{self._label}: {self._count} in {duration(seconds)}"
        left = (self._total - self._count) * seconds / max(self._count - self._before, 1)
        return (
            f"{self._label}: {self._count} of {self._total} in {duration(seconds)}, "
            f"{duration(left)} left"
        )


@contextmanager
def without_bars() -> Iterator[None]:
    """Draw no bars of the loops within: they are parts of work that already has a bar."""
    token = _BARS.set(False)
    try:
        yield
    finally:
        _BARS.reset(token)


def progress(iterable: Iterable[Item], *, label: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items of ``iterable`` and report the progress, see :class:`Progress`.

    Parameters
    ----------
    label
        Name of the loop.
    total
        Number of items; by default the ``len`` of the iterable, if it has one.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Progress(label, total) as done:
        for item in iterable:
            yield item
            done.update()


def counted(counts: Mapping[Any, int]) -> str:
    """Counts in words.

    >>> counted({"unreadable": 2, "disordered": 1}), counted({})
    ('2 unreadable, 1 disordered', 'none')
    """
    return ", ".join(f"{count} {what}" for what, count in counts.items()) or "none"


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(2.34), duration(75), duration(7500), duration(200000)
    ('2.3 s', '1 min 15 s', '2 h 5 min', '2 d 8 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    place = next(i for i, (_, size) in enumerate(units) if seconds >= size)
    (large, size), (small, part) = units[place : place + 2]
    whole, rest = divmod(round(seconds / part) * part, size)
    return f"{whole:.0f} {large} {rest / part:.0f} {small}"
