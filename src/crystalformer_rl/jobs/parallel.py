"""The processes of a data-parallel training, as `torchrun` starts them.

Each process takes its share of every batch; gradients are summed over all of them, so that every
process makes the same step on the same weights. Started without torchrun there is one process, and
nothing here does anything.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Parallel:
    """This process among the others.

    Attributes
    ----------
    rank
        Number of this process, from 0.
    size
        Number of processes.
    device
        Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def share(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """What this process takes of a batch; may be empty."""
        return indices[self.rank :: self.size]

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes."""
        if self.size == 1:
            return values
        total = values.detach().clone().to(self.device)
        dist.all_reduce(total)
        return total.to(values.device)

    def sum_gradients(
        self, weights: Iterable[torch.nn.Parameter], others: torch.Tensor
    ) -> torch.Tensor:
        """Replace each gradient by its sum over all processes; return that of ``others``.

        All travel in one buffer. A weight without a gradient counts as one of zero.
        """
        if self.size == 1:
            return others
        weights = list(weights)
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        buffer = torch.cat([*(g.flatten() for g in gradients), others.to(gradients[0])])
        dist.all_reduce(buffer)
        *sums, total = torch.split(buffer, [*(w.numel() for w in weights), others.numel()])
        for weight, gradient in zip(weights, sums, strict=True):
            weight.grad = gradient.view_as(weight)
        return total

    def broadcast(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give every process the values of process 0, in place."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def check_same_step(self, step: int) -> None:
        """Refuse to continue from different checkpoints.

        Raises
        ------
        ValueError
            If ``step`` is not that of process 0.
        """
        first = torch.tensor([step], device=self.device)
        self.broadcast([first])
        if int(first) != step:
            raise ValueError(
                f"process {self.rank} continues after step {step}, process 0 after step "
                f"{int(first)}: the folder of checkpoints must be one that all nodes share"
            )

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


def alone(kind: str) -> Parallel:
    """The only process, on a device of this kind."""
    return Parallel(rank=0, size=1, device=torch.device(kind))


SINGLE = alone("cpu")


def world_size() -> int:
    """Processes that were started together: ``WORLD_SIZE``, 1 where it is not set."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def join(kind: str) -> Iterator[Parallel]:
    """Meet the other processes: by gloo on CPUs, by nccl with one GPU per process.

    Parameters
    ----------
    kind
        ``cpu`` or ``cuda``. The GPU is number ``LOCAL_RANK`` of those that the process sees.

    Raises
    ------
    ValueError
        If the environment is not what torchrun sets, or there are fewer GPUs than processes.
    """
    size = world_size()
    if size == 1:
        yield alone(kind)
        return
    if missing := [name for name in VARIABLES if name not in os.environ]:
        raise ValueError(
            f"WORLD_SIZE is {size} and {', '.join(missing)} not set: start with torchrun, or set "
            f"all of {', '.join(VARIABLES)}"
        )
    device = _device(kind, int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Parallel(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()


def _device(kind: str, local_rank: int) -> torch.device:
    if kind != "cuda":
        return torch.device(kind)
    if local_rank >= (gpus := torch.cuda.device_count()):
        raise ValueError(
            f"LOCAL_RANK is {local_rank} and the process sees {gpus} GPUs: start as many processes "
            "per node as there are GPUs"
        )
    torch.cuda.set_device(local_rank)
    return torch.device(kind, local_rank)
