"""Delayed handling of SIGTERM: the program decides when it stops."""

import logging
import os
import signal
from types import FrameType
from typing import Any, Self

EXIT_CODE = os.EX_TEMPFAIL

log = logging.getLogger(__name__)


class Termination:
    """Context manager that records SIGTERM; :meth:`exit_if_requested` then exits."""

    def __init__(self) -> None:
        self._received = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def exit_if_requested(self) -> None:
        """Exit with code 75 (EX_TEMPFAIL) after SIGTERM; call this when everything is saved.

        Raises
        ------
        SystemExit
            If SIGTERM was received.
        """
        if self._received:
            log.warning("SIGTERM; run again to continue")
            raise SystemExit(EXIT_CODE)

    def _handle(self, _: int, __: FrameType | None) -> None:
        self._received = True
