"""Progress of a loop: a bar on a terminal, regular lines in a log file."""

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 30.0

log = logging.getLogger(__name__)


def progress(iterable: Iterable[Item], *, label: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items of ``iterable`` and report the progress.

    On a terminal a tqdm bar is drawn on stderr. In both cases the log gets a line every 30 s and
    one at the end.

    Parameters
    ----------
    label
        Name of the loop, such as ``"tokenize"``.
    total
        Number of items; by default the ``len`` of the iterable, if it has one.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    start = last = time.monotonic()
    count = 0
    with tqdm(iterable, desc=label, total=total, disable=None) as bar:
        for item in bar:
            yield item
            count += 1
            if (now := time.monotonic()) - last > SECONDS_BETWEEN_LINES:
                last = now
                log.info("%s: %s in %.0f s", label, _share(count, total), now - start)
    log.info("%s: %d done in %.1f s", label, count, time.monotonic() - start)


def _share(count: int, total: int | None) -> str:
    return f"{count}" if total is None else f"{count} of {total}"
