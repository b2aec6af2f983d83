"""The processes of a data-parallel training, as `torchrun` starts them.

Each process takes its share of every batch. Gradients are summed over all processes, so that every
process makes the same step on the same weights. Without torchrun there is one process, and the
functions of this module do nothing.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

# Before any group is made: the default arguments of this module are the group of that moment, and
# torch.optim imports it at the first step. The group then outlives `destroy_process_group`, and its
# threads the interpreter, where one that still holds a tensor aborts the process
# (https://github.com/pytorch/pytorch/pull/179291).
import torch.distributed.nn
from numpy.typing import NDArray
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]

S = TypeVar("S")
T = TypeVar("T")
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
FAILURE = "crystalformer_rl/failure"
"""Where the processes' store holds the first failure."""
WATCH_SECONDS = 2.0

log = logging.getLogger(__name__)


class FailedElsewhere(SystemExit):
    """Another process has failed, and this one ends with it; exit code 1."""

    def __init__(self) -> None:
        super().__init__(1)


@dataclass(frozen=True)
class _Failure:
    """Sent in place of a value."""

    reason: str


@dataclass(frozen=True)
class Parallel:
    """This process and the number of processes.

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
        """This process's share of a batch; may be empty."""
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
        """Replace each gradient by its sum over all processes; return the sum of ``others``.

        Everything is sent in one buffer. A missing gradient counts as zero.
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

    def max(self, value: float) -> float:
        """The largest of the values of all processes."""
        return max(self.gather(value))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return any(self.gather(flag))

    def from_first(self, value: T | None) -> T:
        """The value of process 0; those of the others are not used."""
        return self.gather(value if self.first else None)[0]  # type: ignore[return-value]

    def map(self, work: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """``work`` of every item, in order; each process does its share."""
        return in_order(self.gather([work(item) for item in items[self.rank :: self.size]]))

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of the processes; they must be picklable.

        Raises
        ------
        FailedElsewhere
            If another process has failed inside :meth:`failing_together`.
        """
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        if isinstance(value, _Failure):
            return found
        for rank, one in enumerate(found):
            if isinstance(one, _Failure):
                log.error("process %d failed: %s", rank, one.reason)
                raise FailedElsewhere
        return found

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """A block that all processes leave with an exception if one of them does.

        Inside, they must communicate by nothing but :meth:`gather` and what is made of it: there,
        or at the end of the block, they learn of the failure.
        """
        try:
            yield
        except Exception as error:
            self.gather(_Failure(f"{type(error).__name__}: {error}"))
            raise
        self.gather(None)

    def broadcast(self, tensors: Iterable[torch.Tensor]) -> None:
        """Copy the values of process 0 to every process, in place."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def check_same_step(self, step: int) -> None:
        """Refuse to continue from different checkpoints.

        Raises
        ------
        ValueError
            If ``step`` differs from the step of process 0.
        """
        first = torch.tensor([step], device=self.device)
        self.broadcast([first])
        if int(first) != step:
            raise ValueError(
                f"process {self.rank} continues after step {step}, process 0 after step "
                f"{int(first)}: the folder of checkpoints must be shared by all nodes"
            )

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


def in_order(shares: Sequence[Sequence[T]]) -> list[T]:
    """The results of the processes for their shares of a list, in its order."""
    length = sum(map(len, shares))
    return [shares[index % len(shares)][index // len(shares)] for index in range(length)]


def alone(kind: str) -> Parallel:
    """A single process on a device of this kind."""
    return Parallel(rank=0, size=1, device=torch.device(kind))


SINGLE = alone("cpu")


def world_size() -> int:
    """Number of processes that were started together: ``WORLD_SIZE``, or 1 if it is not set."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def join(kind: str) -> Iterator[Parallel]:
    """Connect to the other processes: with gloo on CPUs, with nccl and one GPU per process.

    Parameters
    ----------
    kind
        ``cpu`` or ``cuda``. The GPU is number ``LOCAL_RANK`` of the visible ones.

    A process that fails by itself stays in the group: to leave it, it would wait for the others,
    and they may be waiting for it in a collective. They end with its message (:func:`_watching`).

    Raises
    ------
    ValueError
        If a variable that torchrun sets is missing, or there are fewer GPUs than processes.
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
    if kind == "cuda":
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    with _watching(rank := dist.get_rank()):
        try:
            yield Parallel(rank, size, device)
        except SystemExit:  # by which all leave together
            dist.destroy_process_group()
            raise
        dist.destroy_process_group()


@contextmanager
def _watching(rank: int) -> Iterator[None]:
    """A block in which a failure of one process ends the others, whatever they are doing.

    Torchrun's SIGTERM does not: a training takes it as the wish for a checkpoint after the step,
    and this step would wait forever in a collective with the process that failed.
    """
    # A connection of its own: that of the group is busy while the main thread waits for a key.
    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        wait_for_workers=False,
    )
    left = threading.Event()
    watcher = threading.Thread(target=_watch, args=(store, left), daemon=True)
    watcher.start()
    try:
        yield
    except SystemExit:
        raise
    except BaseException as error:
        left.set()  # this process ends with its own exception
        reason = f"process {rank} failed: {type(error).__name__}: {error}"
        try:
            store.compare_set(FAILURE, "", reason)
        except dist.DistError as lost:
            log.warning("the other processes do not learn of the failure: %s", lost)
        raise
    finally:
        left.set()
        watcher.join()


def _watch(store: Store, left: threading.Event) -> None:
    """End this process if another one fails; a thread can while the main one is in a C call."""
    try:
        while not store.check([FAILURE]):
            if left.wait(WATCH_SECONDS):
                return
        reason = store.get(FAILURE).decode()
    except dist.DistError as lost:
        log.warning("failures of other processes are no longer noticed: %s", lost)
        return
    # Time for the other process to print what it has to say before torchrun ends it too.
    if not left.wait(WATCH_SECONDS):
        log.error("%s; this process ends too", reason)
        os._exit(1)


def _device(kind: str, local_rank: int) -> torch.device:
    if kind != "cuda":
        return torch.device(kind)
    if local_rank >= (gpus := torch.cuda.device_count()):
        raise ValueError(
            f"LOCAL_RANK is {local_rank}, but {gpus} GPUs are visible: start one process per GPU"
        )
    torch.cuda.set_device(local_rank)
    return torch.device(kind, local_rank)
