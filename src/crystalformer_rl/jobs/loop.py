"""What makes a long training interruptible: signals, a time limit, checkpoints by the clock.

A job that is told to stop, or sees its time limit come, finishes the step it is in, writes a
checkpoint and leaves with exit code 75 (EX_TEMPFAIL), on which the workflow submits it again; the
next job continues exactly where this one stopped.
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
"""Crystals that an error names at most."""

log = logging.getLogger(__name__)


class Interrupted(SystemExit):
    """The training stopped early, with a checkpoint written: the process leaves with code 75."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


class DivergedError(FloatingPointError):
    """A loss or gradient is not finite: training on would ruin the weights."""


class Loop:
    """Guards the steps of one training; use as a context manager around them.

    Parameters
    ----------
    checkpoints
        Where to write.
    checkpoint_minutes
        Time between checkpoints.
    limit_minutes
        The job's time limit, counted from the creation of this object, or None. The loop stops
        when less time is left than the longest step so far took, plus a margin for writing (a
        tenth of the limit, five minutes at most). At least one step is always made, so that a
        limit that is too short slows the training and does not stop it.
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
        """The checkpoint to continue from, or None to start afresh."""
        return self._checkpoints.newest()

    def wants_to_stop(self) -> bool:
        """Whether this job was told to stop, or has no time for another step."""
        return self._signal is not None or time.monotonic() + self._longest > self._deadline

    def step_done(
        self, number: int, state: Callable[[], Checkpoint], *, stop: bool | None = None
    ) -> None:
        """Call after each step: writes a checkpoint if it is time for one.

        Parameters
        ----------
        number
            Steps made so far.
        state
            Gives the state after them.
        stop
            Whether one of several processes wants to stop; it must be the same in all of them.
            None: :meth:`wants_to_stop` decides.

        Raises
        ------
        Interrupted
            If the job was told to stop or runs out of time; the checkpoint is written.
        """
        now = time.monotonic()
        self._longest = max(self._longest, now - self._last_step)
        if self.wants_to_stop() if stop is None else stop:
            self._stop(number, state)
        if now - self._last_save >= self._between:
            self.save(number, state)
        self._last_step = time.monotonic()

    @contextmanager
    def interruptible(self, number: int, state: Callable[[], Checkpoint]) -> Iterator[None]:
        """A long block that changes nothing in ``state`` and may be cut short by a signal.

        Between the SIGTERM and the SIGKILL of a cluster lie about 30 s; scoring a batch of
        crystals may take longer. The block's work is lost, the checkpoint is not.

        Raises
        ------
        Interrupted
            If a signal came before or inside the block; the checkpoint is written.
        """
        try:
            self._interruptible = True
            self._obey()
            yield
        except Interrupted:
            self._interruptible = False
            self._stop(number, state)
        finally:
            self._interruptible = False

    def save(self, number: int, state: Callable[[], Checkpoint]) -> None:
        """Write a checkpoint now."""
        if self._parallel.first:
            path = self._checkpoints.save(number, state())
            log.info("checkpoint after step %d: %s", number, path)
        self._last_save = time.monotonic()

    def diverged(self, what: str, number: int, ids: list[str], state: Checkpoint) -> DivergedError:
        """The error for a value that is not finite in the step after the ``number``-th.

        ``state`` is the state before that step, still good: it is saved and named. Of many crystals
        the message names the first, and a file beside the checkpoint all.
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
            "clip_norm, or remove the crystals at fault"
        )

    def finish(self) -> None:
        """Delete all checkpoints but the newest; call when the results are on disk."""
        self._checkpoints.keep_newest()

    def _stop(self, number: int, state: Callable[[], Checkpoint]) -> None:
        self.save(number, state)
        self._parallel.barrier()  # torchrun ends all processes soon after the first has left
        if self._signal is not None:
            reason = self._signal.name
        elif self.wants_to_stop():
            reason = "the time limit is near"
        else:
            reason = "another process stops"
        log.warning("stopping after step %d: %s; run again to continue", number, reason)
        raise Interrupted

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == self._signal == signal.SIGINT:  # Ctrl-C twice: the user will not wait
            raise KeyboardInterrupt
        self._signal = signal.Signals(number)
        if self._interruptible:
            self._obey()

    def _obey(self) -> None:
        if self._signal is not None:
            raise Interrupted
