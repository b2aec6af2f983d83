"""SIGTERM, obeyed at a moment of the program's choosing."""

import logging
import os
import signal
from types import FrameType
from typing import Any, Self

EXIT_CODE = os.EX_TEMPFAIL

log = logging.getLogger(__name__)


class Termination:
    """Catches SIGTERM while it is entered as a context manager; :meth:`obey` acts on it."""

    def __init__(self) -> None:
        self._told = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def obey(self) -> None:
        """Leave with code 75 (EX_TEMPFAIL) if the process was told to; call where all is saved.

        Raises
        ------
        SystemExit
            If SIGTERM came.
        """
        if self._told:
            log.warning("SIGTERM; run again to continue")
            raise SystemExit(EXIT_CODE)

    def _hear(self, _: int, __: FrameType | None) -> None:
        self._told = True
