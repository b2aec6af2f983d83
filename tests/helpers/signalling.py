"""The program, met by a signal as soon as its log says a text: ``signalling.py SIGTERM TEXT VERB``.

Under torchrun the first process sends it to torchrun, and waits until torchrun has passed it on.
"""

import logging
import os
import signal
import sys
import threading

from crystalformer_rl.cli import main

POLL = 0.1


class Signaller(logging.Handler):
    """Sends the signal."""

    def __init__(self, number: signal.Signals, text: str) -> None:
        super().__init__()
        self._number, self._text = number, text

    def emit(self, record: logging.LogRecord) -> None:
        if self._text not in record.getMessage() or os.environ.get("RANK", "0") != "0":
            return
        if "RANK" in os.environ:
            passed_on = threading.Event()
            before = signal.signal(self._number, lambda *_: passed_on.set())
            os.kill(os.getppid(), self._number)
            while not passed_on.wait(POLL):  # which a signal to another thread does not interrupt
                pass
            signal.signal(self._number, before)
        os.kill(os.getpid(), self._number)


if __name__ == "__main__":
    name, text, *words = sys.argv[1:]
    logging.getLogger("crystalformer_rl").addHandler(Signaller(signal.Signals[name], text))
    main(words)
