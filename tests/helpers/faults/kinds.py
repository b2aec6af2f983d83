"""The kinds of faults: what is done to a job, what it may do then, and that a restart mends it."""

import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from helpers.faults.client import End, Moment, session
from helpers.faults.jobs import Job
from helpers.faults.workshop import Workshop, remove

STOPPED = os.EX_TEMPFAIL
JOBS_AT_MOST = 5
"""Restarts before a job is said to run in circles."""
EARLY = 0.8
"""Share of its usual time in which a job is disturbed: few are over by then."""
HOUR = 3600.0
ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
NOT_OURS = "internal error; please report it"
GOES_ON = ("continuing from checkpoint", "crystals are in journal", "energies are in cache")
ENDS = {
    0: "finished all the same",
    1: "ended with a message",
    STOPPED: "stopped by itself (75)",
    -signal.SIGTERM: "killed (SIGTERM)",
    -signal.SIGKILL: "killed (SIGKILL)",
    -signal.SIGXFSZ: "killed (SIGXFSZ)",
}


class DefectError(Exception):
    """A job did not do what was promised."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job with a fault; whatever it was, a restart gave the same results.

    Attributes
    ----------
    end
        How the disturbed job ended, in words.
    message
        What it said, where it ended with one.
    continued
        Whether the next job went on from what it had saved.
    temporary
        Temporary files that it left behind for good.
    """

    end: str
    message: str | None
    continued: bool
    temporary: int


def killed_at_a_moment(workshop: Workshop, job: Job, random: Random) -> Outcome:
    end = disturb(workshop, job, moment=_signal(workshop, job, random, signal.SIGKILL))
    return mended(workshop, job, end, allowed={-signal.SIGKILL})


def killed_at_a_file_call(workshop: Workshop, job: Job, random: Random) -> Outcome:
    end = disturb(workshop, job, plan=_plan(workshop, job, random, "signal", signal=9))
    return mended(workshop, job, end, allowed={-signal.SIGKILL})


def killed_inside_a_write(workshop: Workshop, job: Job, random: Random) -> Outcome:
    end = disturb(workshop, job, plan=_limit(workshop, job, random, deadly=True))
    return mended(workshop, job, end, allowed={-signal.SIGXFSZ})


def terminated_at_a_moment(workshop: Workshop, job: Job, random: Random) -> Outcome:
    end = disturb(workshop, job, moment=_signal(workshop, job, random, signal.SIGTERM))
    return mended(workshop, job, end, allowed=_obeying(job))


def terminated_at_a_file_call(workshop: Workshop, job: Job, random: Random) -> Outcome:
    end = disturb(workshop, job, plan=_plan(workshop, job, random, "signal", signal=15))
    return mended(workshop, job, end, allowed=_obeying(job))


def disk_full(workshop: Workshop, job: Job, random: Random) -> Outcome:
    workshop.clear(job)
    workshop.leave_room(random.randrange(workshop.undisturbed[job.name].need))
    try:
        end = disturb(workshop, job)
    finally:
        workshop.make_room()
    return mended(workshop, job, end, allowed={1})


def file_call_fails(workshop: Workshop, job: Job, random: Random) -> Outcome:
    plan = _plan(workshop, job, random, "error", error=random.choice(ERRORS))
    return mended(workshop, job, disturb(workshop, job, plan=plan), allowed={1})


def write_fails(workshop: Workshop, job: Job, random: Random) -> Outcome:
    plan = _limit(workshop, job, random, deadly=False)
    return mended(workshop, job, disturb(workshop, job, plan=plan), allowed={1})


def input_cut_short(workshop: Workshop, job: Job, random: Random) -> Outcome:
    path = random.choice(job.inputs)
    whole = (workshop.folder / path).read_bytes()
    # The last byte of JSON is a newline, without which it is as good.
    (workshop.folder / path).write_bytes(whole[: random.randrange(len(whole) - 1)])
    try:
        end = disturb(workshop, job)
    finally:
        (workshop.folder / path).write_bytes(whole)
    if str(path) not in end.said or end.code != 1:
        raise DefectError(f"{path} was cut short, and the job ended with {told(end)}")
    if there := list(workshop.outputs(job)):
        raise DefectError(f"{path} was cut short, and the job wrote {there[0]}")
    return mended(workshop, job, end, allowed={1})


def state_cut_short(workshop: Workshop, job: Job, random: Random) -> Outcome:
    return _with_damaged_state(
        workshop, job, random, lambda data: data[: random.randrange(len(data))]
    )


def bit_of_the_state_flipped(workshop: Workshop, job: Job, random: Random) -> Outcome:
    def flip(data: bytes) -> bytes:
        place, bit = divmod(random.randrange(8 * len(data)), 8)
        return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]

    return _with_damaged_state(workshop, job, random, flip)


def clock_jumps(workshop: Workshop, job: Job, random: Random) -> Outcome:
    """The time of day goes forward or back; the monotonic clock can only go forward."""
    seconds, clocks = random.uniform(HOUR, 48 * HOUR), ["time"]
    if random.random() < 0.5:
        clocks.append("monotonic")
    elif random.random() < 0.5:
        seconds = -seconds
    plan = _plan(workshop, job, random, "clock", seconds=seconds, clocks=clocks)
    return mended(workshop, job, disturb(workshop, job, plan=plan), allowed={STOPPED})


def process_hangs(workshop: Workshop, job: Job, random: Random) -> Outcome:
    plan = _plan(workshop, job, random, "signal", signal=int(signal.SIGSTOP))
    return mended(workshop, job, disturb(workshop, job, plan=plan), allowed={-signal.SIGKILL})


def worker_killed(workshop: Workshop, job: Job, random: Random) -> Outcome:
    moment = _worker(workshop, job, random, signal.SIGKILL)
    end = disturb(workshop, job, moment=moment)
    if end.code == 1 and "worker processes died" not in end.said:
        raise DefectError(f"a worker was killed, and the job ended with {told(end)}")
    return mended(workshop, job, end, allowed={1})


def worker_hangs(workshop: Workshop, job: Job, random: Random) -> Outcome:
    moment = _worker(workshop, job, random, signal.SIGSTOP)
    return mended(workshop, job, disturb(workshop, job, moment=moment), allowed={-signal.SIGKILL})


Kind = Callable[[Workshop, Job, Random], Outcome]


def anything(_: Job) -> bool:
    return True


def kinds(*, small: bool) -> dict[Kind, Callable[[Job], bool]]:
    """The kinds, and the jobs that they can happen to; ``small``: the disk can be made full."""
    found: dict[Kind, Callable[[Job], bool]] = {
        killed_at_a_moment: anything,
        killed_at_a_file_call: anything,
        killed_inside_a_write: anything,
        terminated_at_a_moment: anything,
        terminated_at_a_file_call: anything,
        disk_full: anything,
        file_call_fails: anything,
        write_fails: anything,
        input_cut_short: anything,
        state_cut_short: lambda job: job.state is not None,
        bit_of_the_state_flipped: lambda job: job.state is not None,
        clock_jumps: lambda job: job.trains,
        process_hangs: anything,
        worker_killed: lambda job: "--processes" in job.words,
        worker_hangs: lambda job: "--processes" in job.words,
    }
    if not small:
        del found[disk_full]
    return found


def disturb(
    workshop: Workshop,
    job: Job,
    *,
    plan: dict[str, Any] | None = None,
    moment: Moment | None = None,
) -> End:
    """Run a job with a fault; raise if it hangs, leaves a process or half a result behind."""
    workshop.clear(job)
    end = workshop.server.run(workshop.folder, job.words, plan=plan, moment=moment)
    if end.hung:
        raise DefectError(f"it came to no end\n{end.said}")
    if end.left:
        raise DefectError(f"{end.left} processes lived on after {told(end)}")
    whole_or_absent(workshop, job, end)
    return end


def whole_or_absent(workshop: Workshop, job: Job, end: End) -> None:
    """Raise if an output is there and not what it should be, or a provenance without the rest."""
    expected = workshop.undisturbed[job.name].outputs
    try:
        found = workshop.outputs(job)
    except ValueError as error:
        raise DefectError(f"half a result after {told(end)}: {error}") from error
    for path, content in found.items():
        if path not in expected or content != expected[path]:
            raise DefectError(f"{path} is not what it should be after {told(end)}")
    if job.outputs[-1] in found and len(found) < len(expected):
        missing = sorted(map(str, expected.keys() - found.keys()))
        raise DefectError(f"there is a provenance and no {missing[0]} after {told(end)}")


def mended(workshop: Workshop, job: Job, end: End, *, allowed: set[int]) -> Outcome:
    """Start the job again until it is done, and compare; ``allowed``: how it may have ended."""
    if end.code not in allowed | {0}:
        raise DefectError(f"it ended with {told(end)}")
    if end.code == 1 and (NOT_OURS in end.said or f" ERROR {job.verb}: " not in end.said):
        raise DefectError(f"there is no message for users: {told(end)}")
    saved = has_saved(workshop, job)
    again = start_again(workshop, job)
    if saved and not went_on(again):
        raise DefectError("what it had saved was not used")
    for _ in range(JOBS_AT_MOST):
        if again.code != STOPPED:
            break
        again = start_again(workshop, job)
    temporary = compare(workshop, job, again)
    message = last_words(end) if end.code == 1 else None
    return Outcome(ENDS[end.code], message, saved, temporary)


def start_again(workshop: Workshop, job: Job) -> End:
    """The same command, without a fault."""
    workshop.clear(job)
    return workshop.server.run(workshop.folder, job.words)


def went_on(end: End) -> bool:
    """Whether the job says that it went on from what another one had saved."""
    return any(text in end.said for text in GOES_ON)


def has_saved(workshop: Workshop, job: Job) -> bool:
    """Whether there is a checkpoint, or a line of a journal that is surely whole.

    Only the line that was written last may be torn.
    """
    if job.state is None:
        return False
    state = workshop.folder / job.state
    if job.trains:
        return any(state.glob("*/[!.]*.safetensors"))
    return sum(path.read_bytes().count(b"\n") for path in journals(state)) > 1


def journals(state: Path) -> list[Path]:
    """The journal, or all of a cache, the one that was written last at the end."""
    found = [state] if state.is_file() else state.glob("*.journal")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def compare(workshop: Workshop, job: Job, end: End) -> int:
    """Raise unless the job is done and its results are those of an undisturbed one.

    Returns the number of temporary files that no one will delete; nothing else may be left, but for
    what the job saved to go on from: the workflow deletes that (saved.py).
    """
    if end.code != 0:
        raise DefectError(f"started again it ended with {told(end)}")
    found, expected = workshop.outputs(job), workshop.undisturbed[job.name].outputs
    wrong = [str(path) for path in expected if path not in found or found[path] != expected[path]]
    wrong += [str(path) for path in found if path not in expected]
    if wrong:
        raise DefectError(f"started again it gave another {', '.join(wrong)}")
    if job.state is not None:
        remove(workshop.folder / job.state)
    strays = workshop.strays()
    if visible := [str(path) for path in strays if not path.name.startswith(".")]:
        raise DefectError(f"{', '.join(visible)} was left behind")
    return len(strays)


def told(end: End) -> str:
    """Exit code and last words."""
    return f"exit code {end.code}: {last_words(end)}"


def last_words(end: End) -> str:
    """The message of the job, or else the last line that it wrote."""
    lines = end.said.strip().splitlines() or ["no message"]
    return next((line for line in reversed(lines) if " ERROR " in line), lines[-1])


def _obeying(job: Job) -> set[int]:
    """How a job may end that was told to; before it listens, the signal kills."""
    killed = {-int(signal.SIGTERM)}
    return killed if job.state is None else killed | {STOPPED}


def _plan(workshop: Workshop, job: Job, random: Random, act: str, **rest: Any) -> dict[str, Any]:
    call = random.randrange(len(workshop.undisturbed[job.name].calls))
    return {"act": act, "call": call, **rest}


def _limit(workshop: Workshop, job: Job, random: Random, *, deadly: bool) -> dict[str, Any]:
    """Cut a write at a byte of it."""
    call, before, after = random.choice(workshop.undisturbed[job.name].writes)
    return {"act": "limit", "call": call, "size": random.randrange(before, after), "deadly": deadly}


def _signal(workshop: Workshop, job: Job, random: Random, number: signal.Signals) -> Moment:
    """Send the job a signal at a moment of its life."""
    when = EARLY * random.random() * workshop.undisturbed[job.name].seconds

    def moment(pid: int, passed: float) -> float | None:
        if passed < when:
            return when - passed
        os.kill(pid, number)
        return None

    return moment


def _worker(workshop: Workshop, job: Job, random: Random, number: signal.Signals) -> Moment:
    """Send a worker process a signal, some time after the first is there.

    If the job waits for the worker then, its time limit comes.
    """
    seconds = workshop.undisturbed[job.name].seconds
    share, which = random.random() / 2, random.random()
    when: float | None = None
    limit: float | None = None

    def moment(pid: int, passed: float) -> float | None:
        nonlocal when, limit
        if limit is not None:
            if passed >= limit:
                os.killpg(pid, signal.SIGKILL)
            return limit - passed if passed < limit else None
        workers = _workers(pid)
        if when is None and workers:
            when = passed + share * max(seconds - passed, 0.0)
        if when is None or passed < when or not workers:
            return 0.02 if when is None else max(when - passed, 0.02)
        with suppress(ProcessLookupError):
            os.kill(workers[int(which * len(workers))], number)
        limit = passed + 3 * seconds
        return limit - passed if number == signal.SIGSTOP else None

    return moment


def _workers(pid: int) -> list[int]:
    """The worker processes of a job."""
    found = []
    for member in sorted(session(pid)):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"spawn_main" in Path(f"/proc/{member}/cmdline").read_bytes():
                found.append(member)
    return found


def _with_damaged_state(
    workshop: Workshop, job: Job, random: Random, damage: Callable[[bytes], bytes]
) -> Outcome:
    """Kill the job when it has saved something twice, damage what it saved last."""
    assert job.state is not None
    calls = workshop.undisturbed[job.name].calls
    saved = "os.rename" if job.trains else "open"
    saves = [i for i, call in enumerate(calls) if call.startswith(f"{saved} {job.state}")]
    results = next(i for i, call in enumerate(calls) if " results/" in call)
    # After the second checkpoint is in its place, and before the first result is.
    call = random.randrange(saves[1] + 3, results + 1)
    plan = {"act": "signal", "signal": int(signal.SIGKILL), "call": call}
    end = disturb(workshop, job, plan=plan)
    state = workshop.folder / job.state
    path = max(state.glob("*/*-*.safetensors")) if job.trains else journals(state)[-1]
    data = path.read_bytes()
    path.write_bytes(damage(data))
    again = start_again(workshop, job)
    noticed = f"{path.name} is damaged" in again.said
    if job.trains and not (noticed and went_on(again)):
        raise DefectError(f"the damage of {path.name} was not noticed, or nothing older was used")
    temporary = compare(workshop, job, again)
    return Outcome(f"{ENDS[end.code]}, then damaged", None, went_on(again), temporary)
