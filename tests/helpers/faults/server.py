"""Starts jobs by forking: each is a real process, and none has to import the libraries again.

Reads a line of JSON per job from stdin and writes lines of JSON to stdout: the job's pid, whether
it stopped, how it ended. A job that has ended stays a zombie until the next line comes, so that its
pid cannot be another's. Jobs write to the server's stderr.

Nothing large is imported at the top: worker processes of jobs import this file.
"""

import faulthandler
import gc
import json
import logging
import os
import sys
import traceback
from importlib import import_module
from typing import Any, NoReturn

from helpers.faults.injection import inject, record

STAGES = (
    "dataset", "tokenize", "energies", "hull", "pretrain", "sample", "relax", "sft", "rl",
    "known", "assess", "evaluate", "report",
)  # fmt: skip


def main() -> None:
    """Serve until stdin ends."""
    load()
    say(ready=True)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(request)
        say(pid=pid)
        wait(pid)
        sys.stdin.readline()
        os.waitpid(pid, 0)


def load() -> None:
    """Import what jobs need and read the code once: a change of it meanwhile is not seen."""
    import_module("torch").set_num_threads(1)
    fingerprint = import_module("crystalformer_rl.jobs.fingerprint").fingerprint
    import_module("crystalformer_rl.potentials.chgnet")
    reward = import_module("crystalformer_rl.config").EhullReward()
    for stage in STAGES:
        import_module(f"crystalformer_rl.stages.{stage}")
        fingerprint(f"crystalformer_rl.stages.{stage}", potential="chgnet", reward=reward)
    # Several lines in the journal of a shard with few crystals.
    vars(import_module("crystalformer_rl.stages.assess"))["CHUNK"] = 3
    gc.freeze()


def wait(pid: int) -> None:
    """Tell what becomes of the job, until it has ended."""
    ended = None
    while ended is None:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        assert found is not None
        if found.si_code == os.CLD_STOPPED:
            os.waitid(os.P_PID, pid, os.WSTOPPED)
            say(stopped=True)
        else:
            ended = found
    say(code=ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)


def become(request: dict[str, Any]) -> NoReturn:
    """Be the job, and never come back."""
    code = os.EX_SOFTWARE
    try:
        code = work(**request)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def work(*, folder: str, words: list[str], plan: dict[str, Any], calls: str | None) -> int:
    """Run the verb in ``folder``, in a session of its own; its exit code."""
    os.setsid()
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    faulthandler.enable()  # SIGABRT shows what a job that hangs is at
    made: list[tuple[str, int, int]] = []
    if calls is not None:
        record(made)
    inject(plan)
    try:
        import_module("crystalformer_rl.cli").main(words)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    logging.shutdown()
    sys.stderr.flush()
    if calls is not None:
        with open(calls, "w", encoding="utf-8") as stream:  # noqa: PTH123
            json.dump(made, stream)
    return code


def say(**what: Any) -> None:
    """A line for the client; past any descriptor that a job may have closed."""
    os.write(1, (json.dumps(what) + "\n").encode())


if __name__ == "__main__":
    main()
