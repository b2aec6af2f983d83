"""A SLURM cluster on this machine: two nodes with a pretend GPU each, for the length of a test run.

Only root can have one, and the packages slurm-wlm and munge must be there. Jobs find their
configuration in /etc/slurm, the default place, since a job step loses SLURM_CONF.
"""

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

NODES = ("pretend1", "pretend2")
CONFIGURATION = Path("/etc/slurm/slurm.conf")
GPUS = CONFIGURATION.with_name("gres.conf")
MARK = "# Made by a test of crystalformer-rl; its daemons are in "
LOCK = Path("/run/crystalformer-rl-slurm.lock")
PROGRAMS = ("slurmctld", "slurmd", "munged", "munge", "sbatch", "srun")
DEADLINE = 300

# CPUs and memory are stated, not counted: the jobs of the profile are larger than a small machine.
SLURM_CONF = """\
{mark}{folder}
ClusterName=pretend
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
# A requeued job waits until the credential of its first start has expired.
AuthInfo=cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/task-prolog
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=3600
KillWait=5
JobRequeue=1
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
GresTypes=gpu
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} {size}
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} {size}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
"""
SIZE = "CPUs=16 RealMemory=256000 Gres=gpu:1 State=UNKNOWN"

# What SLURM gave to each step of each job.
TASK_PROLOG = """\
#!/bin/sh
echo "$SLURM_JOB_ID ${{CUDA_VISIBLE_DEVICES:-none}} $SLURMD_NODENAME" >> {folder}/gpus
"""


class Unavailable(Exception):  # noqa: N818
    """There can be no cluster here, for the reason given."""


@dataclass(frozen=True)
class Job:
    """What SLURM says about a job."""

    id: str
    state: str
    rule: str
    reason: str
    nodes: int
    gpus: int
    restarts: int
    seconds: int
    array: bool
    log: Path


@dataclass(frozen=True)
class Cluster:
    """The cluster that runs; its daemons keep their files in ``folder``."""

    folder: Path

    def control(self, *words: str) -> str:
        """Run ``scontrol``; its output."""
        return command("scontrol", *words)

    def jobs(self, folder: Path | None = None) -> list[Job]:
        """The jobs that were submitted from a folder, or all; oldest first."""
        lines = self.control("--oneliner", "show", "job").splitlines()
        found = []
        for line in lines:
            words = [word.partition("=") for word in line.split(" ") if "=" in word]
            fields = {name: value for name, _, value in words}
            if "JobId" not in fields or (folder and fields["WorkDir"] != str(folder)):
                continue
            nodes = int(fields["NumNodes"].partition("-")[0])
            of_job = int(fields.get("TresPerJob", "0").rpartition(":")[2])
            of_node = int(fields.get("TresPerNode", "0").rpartition(":")[2])
            found.append(
                Job(
                    id=fields["JobId"],
                    state=fields["JobState"],
                    rule=fields.get("Comment", ""),
                    reason=fields["Reason"],
                    nodes=nodes,
                    gpus=of_job or nodes * of_node,
                    restarts=int(fields["Restarts"]),
                    seconds=_seconds(fields["RunTime"]),
                    array="ArrayTaskId" in fields,
                    log=Path(fields.get("StdOut", "")),
                )
            )
        return sorted(found, key=lambda job: int(job.id))

    def job(self, number: str) -> Job:
        """One job, by its number."""
        (found,) = [job for job in self.jobs() if job.id == number]
        return found

    def cancel(self, *words: str) -> None:
        """Run ``scancel``."""
        command("scancel", *words)

    def devices(self) -> dict[str, set[str]]:
        """CUDA_VISIBLE_DEVICES of the steps of each job, "none" where it was not set."""
        found: dict[str, set[str]] = {}
        for line in (self.folder / "gpus").read_text().splitlines():
            job, device, _ = line.split()
            found.setdefault(job, set()).add(device)
        return found

    def nodes(self) -> set[str]:
        """The states of the nodes."""
        return set(command("sinfo", "--noheader", "--Node", "--format=%T").split())

    def update_nodes(self, **changes: str) -> None:
        """Change all nodes, such as ``State="DRAIN"``."""
        words = [f"{name}={value}" for name, value in changes.items()]
        self.control("update", f"NodeName={','.join(NODES)}", *words)


def command(*words: str) -> str:
    """Run a program; its output. An error of the program is one of the test."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr or done.stdout}"
    return done.stdout


def _works(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def wait_until(what: str, condition: Callable[[], object], *, seconds: float = DEADLINE) -> None:
    """Return as soon as the condition holds; fail if it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.1)


def _seconds(time: str) -> int:
    """Of a time such as 1-02:03:04."""
    days, _, clock = time.rpartition("-")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Start munged, slurmctld and two slurmd, and end them again.

    Raises
    ------
    Unavailable
        If SLURM is not installed, the user is not root or may not make device nodes, the machine
        has a configuration of its own, or another test run has its cluster here.
    AssertionError
        If the nodes do not come up; the message has the logs of the daemons.
    """
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise Unavailable(f"not installed: {', '.join(missing)} (Debian: slurm-wlm, munge)")
    if os.geteuid() != 0:
        raise Unavailable("only root can start slurmctld and make device nodes")
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(f"another test run has its cluster here ({LOCK})") from None
        _clean_up()
        daemons: list[subprocess.Popen[bytes]] = []
        try:
            try:
                found = _start(folder, daemons)
            except PermissionError as error:
                # Such as a container in which device nodes are not permitted.
                raise Unavailable(f"it cannot be started: {error}") from error
            yield found
        finally:
            _clean_up()
            for daemon in daemons:
                daemon.wait()


def _clean_up() -> None:
    """End the cluster of this or of a killed test run; leave that of the machine alone."""
    if not CONFIGURATION.exists():
        return
    first = CONFIGURATION.read_text().partition("\n")[0]
    if not first.startswith(MARK):
        raise Unavailable(f"the machine has a configuration of its own: {CONFIGURATION}")
    record = Path(first.removeprefix(MARK), "daemons.json")
    daemons = json.loads(record.read_text()) if record.exists() else {}
    if _works("scontrol", "ping"):
        _works("scancel", "--user=root", "--full", "--signal=KILL")
        with suppress(AssertionError):
            wait_until("no job runs", lambda: not _running(), seconds=20)
    for pid, name in reversed(daemons.items()):
        _end(int(pid), name)
    CONFIGURATION.unlink()
    GPUS.unlink(missing_ok=True)


def _running() -> str:
    return command("squeue", "--noheader", "--states=running,completing")


def _end(pid: int, name: str) -> None:
    """End a daemon, if the process of that number still is the daemon."""

    def there() -> bool:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return Path(words[0].decode()).name == name
        return False

    if not there():
        return
    os.kill(pid, signal.SIGTERM)
    try:
        wait_until(f"{name} ends", lambda: not there(), seconds=10)
    except AssertionError:
        os.kill(pid, signal.SIGKILL)


def _start(folder: Path, daemons: list["subprocess.Popen[bytes]"]) -> Cluster:
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    with suppress(FileExistsError):
        CONFIGURATION.parent.mkdir()
    CONFIGURATION.write_text(
        SLURM_CONF.format(
            mark=MARK,
            folder=folder,
            host=socket.gethostname().partition(".")[0],
            nodes=NODES,
            ports=_free_ports(3),
            size=SIZE,
        )
    )
    lines = []
    for number, node in enumerate(NODES):
        device = folder / f"gpu{number}"
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(195, number))
        lines.append(f"NodeName={node} Name=gpu File={device}\n")
    GPUS.write_text("".join(lines))
    prolog = folder / "task-prolog"
    prolog.write_text(TASK_PROLOG.format(folder=folder))
    prolog.chmod(0o755)
    (folder / "gpus").touch()
    commands = [["slurmctld", "-c", "-D"], *(["slurmd", "-N", node, "-D"] for node in NODES)]
    if not _works("munge", "-n"):
        command("install", "-d", "-o", "munge", "-g", "munge", "/run/munge")
        commands.insert(0, ["munged", "--foreground"])
    record: dict[str, str] = {}
    for number, words in enumerate(commands):
        with (folder / f"{number}-{words[0]}.log").open("wb") as log:
            daemons.append(_daemon(words, log))
        record[str(daemons[-1].pid)] = words[0]
        (folder / "daemons.json").write_text(json.dumps(record))
        if "munged" in words:
            wait_until("munged answers", lambda: _works("munge", "-n"))
    found = Cluster(folder)
    try:
        wait_until(
            "the nodes are idle",
            lambda: _works("scontrol", "ping") and found.nodes() == {"idle"},
            seconds=60,
        )
    except AssertionError as error:
        logs = {path.name: path.read_text()[-2000:] for path in sorted(folder.glob("*.log"))}
        raise AssertionError(f"{error}: {logs}") from None
    return found


def _daemon(words: list[str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    user = "munge" if words[0] == "munged" else "root"
    return subprocess.Popen(
        words,
        user=user,
        group=user,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )


def _free_ports(number: int) -> list[int]:
    """Below those that the kernel hands out: nobody takes them before the daemons do."""
    found: list[int] = []
    for port in random.sample(range(20000, 30000), 1000):
        with suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            found.append(port)
        if len(found) == number:
            return found
    raise AssertionError("no port between 20000 and 30000 is free")
