"""What goes wrong inside a job: at its n-th call that changes a file, or at a byte of a file."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FILE_CALLS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def at_call(number: int, act: Callable[[str], None]) -> None:
    """Call ``act`` just before the ``number``-th call, from 0, that changes a file of this folder.

    Counted are opening for writing, fsync, rename, remove, mkdir, rmdir and chmod, as Python makes
    them; libraries make writes of their own, which :func:`limit_files` reaches.
    """
    left = number

    def count(name: str) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            act(name)

    at_every_call(count)


def at_every_call(act: Callable[[str], None]) -> None:
    """Call ``act`` with the name of every such call, just before it."""
    folder = f"{Path.cwd()}/"

    def listen(event: str, details: tuple[Any, ...]) -> None:
        if event in FILE_CALLS or (event == "open" and details[2] & WRITING):
            path = details[0]
            text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
            if text.startswith(folder) or (text and not text.startswith("/")):
                act(f"{event} {text.removeprefix(folder)}")

    sync = os.fsync

    def fsync(descriptor: int) -> None:
        act("fsync")
        sync(descriptor)

    os.fsync = fsync
    sys.addaudithook(listen)


def record(calls: list[tuple[str, int, int]]) -> None:
    """Note every such call, the bytes that are free here then, and the size of the file."""

    def note(name: str) -> None:
        found, path = os.statvfs("."), Path(name.partition(" ")[2])
        size = path.stat().st_size if path.is_file() else 0
        calls.append((name, found.f_bfree * found.f_frsize, size))

    at_every_call(note)


def send(number: signal.Signals) -> Callable[[str], None]:
    """Send this process a signal."""
    return lambda _: os.kill(os.getpid(), number)


def fail(error: int) -> Callable[[str], None]:
    """Let the call fail, once."""

    def act(name: str) -> None:
        raise OSError(error, os.strerror(error), name)

    return act


def jump(seconds: float, *, clocks: tuple[str, ...]) -> Callable[[str], None]:
    """Move clocks of the module ``time``, once and for good."""

    def act(_: str) -> None:
        for name in clocks:
            clock = getattr(time, name)
            setattr(time, name, lambda clock=clock: clock() + seconds)

    return act


def limit_files(size: int, *, deadly: bool) -> None:
    """Let the kernel end the write that crosses ``size`` bytes: by a signal, or with EFBIG."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def inject(plan: Mapping[str, Any]) -> None:
    """Prepare the fault that ``plan`` describes, in the process of the job."""
    acts: dict[str, Callable[[], Callable[[str], None]]] = {
        "signal": lambda: send(signal.Signals(plan["signal"])),
        "error": lambda: fail(plan["error"]),
        "clock": lambda: jump(plan["seconds"], clocks=tuple(plan["clocks"])),
        "limit": lambda: lambda _: limit_files(plan["size"], deadly=plan["deadly"]),
    }
    if plan:
        at_call(plan["call"], acts[plan["act"]]())
