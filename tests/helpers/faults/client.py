"""Client of ``server.py``: runs jobs, and tells how they ended."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

SERVER = Path(__file__).with_name("server.py")
LIMIT = 120.0
"""Seconds after which a job hangs; the slowest takes a few."""
GRACE = 30.0
"""Seconds that the processes of a job have to follow it: they may be importing something large."""


@dataclass(frozen=True)
class End:
    """How a job ended.

    Attributes
    ----------
    code
        Exit code; the negative number of the signal that killed it.
    said
        What it wrote to stderr: its log.
    seconds
        How long it took.
    hung
        Whether it came to no end in time; it was killed then.
    left
        Processes of the job that lived on after it; they were killed.
    """

    code: int
    said: str
    seconds: float
    hung: bool
    left: int


Moment = Callable[[int, float], float | None]
"""Called with pid and seconds since the start, whenever it asked to be; the seconds until it wants
to be called again, or None."""


class Server:
    """Client of ``server.py``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONPATH": str(SERVER.parents[2])},
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        self._selector = selectors.DefaultSelector()
        self._buffers = {"said": b"", "lines": b""}
        for stream, name in ((self._process.stderr, "said"), (self._process.stdout, "lines")):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, name)
        while self._line(None) is None:
            pass

    def run(
        self,
        folder: Path,
        words: tuple[str, ...],
        *,
        plan: dict[str, Any] | None = None,
        moment: Moment | None = None,
        calls: Path | None = None,
    ) -> End:
        """Run a job to its end, whatever that is."""
        request = {
            "folder": str(folder), "words": words, "plan": plan or {},
            "calls": None if calls is None else str(calls),
        }  # fmt: skip
        self._buffers["said"] = b""
        self._write(json.dumps(request))
        start = time.monotonic()
        pid, code, hung = 0, None, False
        while code is None:
            passed = time.monotonic() - start
            if passed > LIMIT and not hung:
                hung = True
                os.kill(pid, signal.SIGABRT)
            again = moment(pid, passed) if moment is not None and pid else None
            if pid and again is None:
                moment = None
            said = self._line(min(LIMIT if hung else LIMIT - passed, again or LIMIT))
            if said is not None and "pid" in said:
                pid = said["pid"]
            elif said is not None and "stopped" in said:
                # A process that hangs hears nothing; a batch system asks once, and then kills.
                os.killpg(pid, signal.SIGTERM)
                os.killpg(pid, signal.SIGKILL)
            elif said is not None:
                code = said["code"]
        seconds = time.monotonic() - start
        self._drain(0)
        left = self._left(pid)
        self._write("")
        text = self._buffers["said"].decode(errors="replace")
        return End(int(code), text, seconds, hung, left)

    def _left(self, pid: int) -> int:
        """Processes of the job that live on; they have some time to notice that it has ended."""
        deadline = time.monotonic() + GRACE
        while (left := session(pid) - {pid}) and time.monotonic() < deadline:
            self._drain(0.05)
        if left:
            os.killpg(pid, signal.SIGKILL)
        return len(left)

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._selector.close()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def _write(self, line: str) -> None:
        stream: IO[bytes] | None = self._process.stdin
        assert stream is not None
        stream.write(line.encode() + b"\n")
        stream.flush()

    def _line(self, timeout: float | None) -> dict[str, Any] | None:
        """The next thing that the server says, or None after ``timeout`` seconds."""
        if b"\n" not in self._buffers["lines"]:
            self._drain(timeout)
        line, newline, rest = self._buffers["lines"].partition(b"\n")
        if not newline:
            if self._process.poll() is not None:
                raise ChildProcessError(self._buffers["said"].decode(errors="replace"))
            return None
        self._buffers["lines"] = rest
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _drain(self, timeout: float | None) -> None:
        """Read all there is; wait for something at most ``timeout`` seconds."""
        events = self._selector.select(timeout)
        while events:
            ended = False
            for key, _ in events:
                data = os.read(key.fd, 2**16)
                self._buffers[key.data] += data
                ended = ended or not data
            if ended:
                self._process.wait()
                return
            events = self._selector.select(0)


def session(leader: int) -> set[int]:
    """The processes of a session, zombies included."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == leader:
            found.add(int(folder.name))
    return found
