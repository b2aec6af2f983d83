"""Starts a verb as one or several processes, on one node or on the nodes of a SLURM job.

``python -m crystalformer_rl.jobs.launch NODES PROCESSES VERB …`` becomes ``python -m
crystalformer_rl VERB …``, torchrun with that number of processes, or ``srun`` with one torchrun per
node. The number of processes changes results by rounding only, so a rule may ask for it as a
resource.

Torchrun exits with code 1 if its processes exit with 75; the workflow submits again after both.
"""

import argparse
import os
import socket
import sys
from collections.abc import Sequence

PROGRAM = ["-m", "crystalformer_rl"]


def main(argv: Sequence[str] | None = None) -> None:
    """Replace this process by :func:`command`; exit with code 1 if there is none."""
    parser = argparse.ArgumentParser(
        prog="python -m crystalformer_rl.jobs.launch", description=__doc__
    )
    parser.add_argument("nodes", type=_positive, help="nodes of the job")
    parser.add_argument("processes", type=_positive, help="processes per node (one per GPU)")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="the verb and its arguments")
    args = parser.parse_args(argv)
    try:
        words = command(args.words, nodes=args.nodes, processes=args.processes)
    except ValueError as error:
        raise SystemExit(f"{parser.prog}: {error}") from None
    os.execvp(words[0], words)


def command(words: Sequence[str], *, nodes: int, processes: int) -> list[str]:
    """The command that runs a verb with its arguments, ``words``.

    Parameters
    ----------
    nodes
        Number of nodes. With several nodes this process must run on the first node of their SLURM
        job, where the others connect to it.
    processes
        Number of processes per node.

    Raises
    ------
    ValueError
        If there are several nodes, but this is not a SLURM job.
    """
    if nodes == processes == 1:
        return [sys.executable, *PROGRAM, *words]
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    if nodes == 1:
        return [*torchrun, "--standalone", *PROGRAM, *words]
    if (job := os.environ.get("SLURM_JOB_ID")) is None:
        raise ValueError(f"{nodes} nodes need a SLURM job, and SLURM_JOB_ID is not set")
    return [
        "srun",
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        "--kill-on-bad-exit=1",
        *torchrun,
        f"--nnodes={nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={socket.gethostname()}:{_free_port()}",
        f"--rdzv-id={job}",
        *PROGRAM,
        *words,
    ]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return number


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
