"""Two processes: the second fails in a training while the first waits for it in a C call.

Called as ``python failing_rank.py FOLDER`` with the environment of torchrun.
"""

import ctypes
import sys
from pathlib import Path

import torch.distributed as dist

from crystalformer_rl.jobs.checkpoints import Checkpoints
from crystalformer_rl.jobs.loop import Loop
from crystalformer_rl.jobs.parallel import join

MESSAGE = "no memory left in this one"
STAYED = "it stayed in the group"


def wait_forever() -> None:
    """As for a GPU: no signal and no closed connection ends it, and Python handles no signal."""
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    for _ in range(2):
        libc.pthread_mutex_lock(mutex)


def main(folder: Path) -> None:
    """Fail in one process."""
    with join("cpu") as parallel:
        loop = Loop(Checkpoints(folder, key={}), checkpoint_minutes=1e6, parallel=parallel)
        with loop:
            parallel.barrier()
            if parallel.first:
                wait_forever()
            raise MemoryError(MESSAGE)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except MemoryError:
        if dist.is_initialized():
            print(STAYED, file=sys.stderr)
        raise
