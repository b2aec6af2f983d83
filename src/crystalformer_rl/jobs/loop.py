"""Interruptible trainings: signals, a time limit, and checkpoints at regular intervals.

A job that receives a signal or approaches its time limit finishes the current step, writes a
checkpoint and exits with code 75 (EX_TEMPFAIL). The workflow then submits it again, and the next
job continues exactly where this one stopped.
"""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from crystalformer_rl.files import write_text
from crystalformer_rl.jobs.checkpoints import Checkpoint, Checkpoints
from crystalformer_rl.jobs.parallel import SINGLE, Parallel

EXIT_CODE = 75
SIGNALS = (signal.SIGTERM, signal.SIGINT)
MARGIN_SHARE, MARGIN_SECONDS = 0.1, 300.0
NAMED = 20
"""Maximum number of crystals that an error message names."""

log = logging.getLogger(__name__)


class Interrupted(SystemExit):
    """The training stopped early after writing a checkpoint; the process exits with code 75."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


class DivergedError(FloatingPointError):
    """A loss or gradient is not finite; another step would ruin the weights."""


class Loop:
    """Makes the steps of one training interruptible; use it as a context manager around them.

    Parameters
    ----------
    checkpoints
        Where checkpoints are written.
    checkpoint_minutes
        Time between checkpoints.
    limit_minutes
        The job's time limit, counted from the creation of this object, or None. The loop stops when
        the remaining time is shorter than the longest step so far plus a margin for writing (a
        tenth of the limit, at most five minutes). At least one step is always made, so that a short
        limit slows the training down but does not stop it.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        *,
        checkpoint_minutes: float,
        limit_minutes: float | None = None,
        parallel: Parallel = SINGLE,
    ) -> None:
        self._checkpoints = checkpoints
        self._parallel = parallel
        self._between = 60 * checkpoint_minutes
        self._start = self._last_step = self._last_save = time.monotonic()
        self._longest = 0.0
        self._deadline = float("inf")
        if limit_minutes is not None:
            limit = 60 * limit_minutes
            self._deadline = self._start + limit - min(MARGIN_SECONDS, MARGIN_SHARE * limit)
        self._signal: signal.Signals | None = None
        self._interruptible = False
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._handle) for number in SIGNALS}
        self._last_step = self._last_save = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def resume(self) -> Checkpoint | None:
        """The checkpoint to continue from, or None to start from the beginning."""
        return self._checkpoints.newest()

    def wants_to_stop(self) -> bool:
        """Whether this job received a signal, or has no time for another step."""
        return self._signal is not None or time.monotonic() + self._longest > self._deadline

    def step_done(
        self, number: int, state: Callable[[], Checkpoint], *, stop: bool | None = None
    ) -> None:
        """Call this after each step; it writes a checkpoint when one is due.

        Parameters
        ----------
        number
            Steps made so far.
        state
            Returns the state after these steps.
        stop
            Whether one of several processes wants to stop; it must be the same in all of them.
            None: they ask one another for :meth:`wants_to_stop`.

        Raises
        ------
        Interrupted
            If the job received a signal or runs out of time; a checkpoint has been written.
        """
        now = time.monotonic()
        self._longest = max(self._longest, now - self._last_step)
        if self._parallel.any(self.wants_to_stop()) if stop is None else stop:
            self._stop(number, state)
        if now - self._last_save >= self._between:
            self.save(number, state)
        self._last_step = time.monotonic()

    @contextmanager
    def interruptible(self, number: int, state: Callable[[], Checkpoint]) -> Iterator[None]:
        """A long block that does not change ``state`` and that a signal may cut short.

        A cluster sends SIGKILL about 30 s after SIGTERM, and scoring a batch of crystals may take
        longer. The work of the block is lost, but not the checkpoint. Several processes leave the
        block together: they obey a signal at :meth:`obey` and not at once.

        Raises
        ------
        Interrupted
            If a signal arrives before or inside the block; a checkpoint has been written.
        """
        try:
            self._interruptible = self._parallel.size == 1
            self.obey()
            yield
        except Interrupted:
            self._interruptible = False
            self._stop(number, state)
        finally:
            self._interruptible = False

    def obey(self) -> None:
        """Leave the interruptible block if a signal has arrived in any process; all must call it.

        Raises
        ------
        Interrupted
            Which :meth:`interruptible` expects.
        """
        if self._parallel.any(self._signal is not None):
            raise Interrupted

    def save(self, number: int, state: Callable[[], Checkpoint]) -> None:
        """Write a checkpoint now."""
        if self._parallel.first:
            path = self._checkpoints.save(number, state())
            log.info("checkpoint after step %d: %s", number, path)
        self._last_save = time.monotonic()

    def diverged(self, what: str, number: int, ids: list[str], state: Checkpoint) -> DivergedError:
        """The error for a value that is not finite in the step after step ``number``.

        ``state`` is the state before that step. It is saved, and the message names the file. If
        there are many crystals, the message names the first ones and a text file lists all.
        """
        self.save(number, lambda: state)
        self._parallel.barrier()
        checkpoint = self._checkpoints.paths()[-1]
        named = ", ".join(ids[:NAMED])
        if len(ids) > NAMED:
            listed = checkpoint.with_name(f"batch-after-step-{number}.txt")
            if self._parallel.first:
                write_text(listed, "\n".join(ids) + "\n")
            named += f" and {len(ids) - NAMED} more, listed in {listed}"
        return DivergedError(
            f"step {number}: {what} is not finite; crystals of the batch: {named}; "
            f"last good checkpoint: {checkpoint}. Lower learning_rate or "
            "clip_norm, or remove the crystals that cause it"
        )

    def finish(self) -> None:
        """Delete all checkpoints except the newest; call this when the results are on disk."""
        self._checkpoints.keep_newest()

    def _stop(self, number: int, state: Callable[[], Checkpoint]) -> None:
        self.save(number, state)
        self._parallel.barrier()  # torchrun ends all processes soon after the first one exits
        if self._signal is not None:
            reason = self._signal.name
        elif self.wants_to_stop():
            reason = "the time limit is near"
        else:
            reason = "another process stops"
        log.warning("stopping after step %d: %s; run again to continue", number, reason)
        raise Interrupted

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == self._signal == signal.SIGINT:  # Ctrl-C twice: stop at once
            raise KeyboardInterrupt
        self._signal = signal.Signals(number)
        if self._interruptible:
            self.obey()
