"""A pretend CUDA device: real numbers on the CPU, which say ``cuda:0`` and obey the rules of CUDA.

For machines without a GPU, to find what would fail on one: a tensor left on the CPU, a missing
``.cpu()``, an index, a generator or a collective of the wrong device, a batch that does not fit
into memory. ``torch.cuda.is_available()`` is true, so programs take their CUDA branches, and what
makes the host wait is counted by line of code.

    pytest --gpu=pretend -m gpu tests/unit/model                                       # tests
    PYTHONPATH=tests python -m helpers.pretend_gpu -m crystalformer_rl sample …        # a program

    with pretend_gpu.device() as gpu:      # before the first backward pass of the process
        policy = Policy(settings).to("cuda")
        gpu.limit = 10_000_000             # beyond it, allocations raise torch.OutOfMemoryError
        policy.sample([225], seed=0)
        print(gpu.report())                # syncs, copies and unordered sums by line of code

How: a tensor is a wrapper of a CPU tensor (:class:`~.tensors.Cuda`) whose every operation is
executed below autograd by :func:`~.tensors.run`; a dispatch mode catches the factories and the
copies. Autograd and autocast are those of torch, with the dispatch keys of CUDA. Alternatives do
not work: a backend that is registered as PrivateUse1 may not be called ``cuda``, and
FakeTensorMode has no numbers. Written for torch 2.13, built for CPUs.

What it cannot show: kernels (last digits, limits, order of sums), streams, torch.compile
(``Module.compile`` does nothing), nccl itself, ``torch.load`` onto a GPU, speed. Operations that
change the shape or the storage of a tensor in place are refused, and a module cannot change device
or precision while a graph of it is alive.
"""

import atexit
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch

from helpers.pretend_gpu import tensors
from helpers.pretend_gpu.replacements import built_with_cuda, replacements, set_device_guard
from helpers.pretend_gpu.tensors import Gpu

__all__ = ["Gpu", "device", "install"]


@contextmanager
def device(*, limit: float = float("inf"), watch: str = "crystalformer_rl") -> Iterator[Gpu]:
    """The pretend device, inside the block; its tensors are of no use afterwards.

    Parameters
    ----------
    limit
        Its memory in bytes.
    watch
        Part of the paths of the files whose lines the report names.
    """
    before, only_cpu = tensors.current, torch._C._only_lift_cpu_tensors()
    with built_with_cuda(), ExitStack() as stack:
        for replacement in replacements():
            stack.enter_context(mock.patch.object(*replacement))
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor: made on the CPU, then copied
        tensors.current = stack.enter_context(Gpu(limit=limit, watch=watch))
        try:
            yield tensors.current
        finally:
            tensors.current = before
            torch._C._set_only_lift_cpu_tensors(only_cpu)


_installed = ExitStack()


def install() -> Gpu:
    """The pretend device until the process ends."""
    return tensors.current or _installed.enter_context(device())


set_device_guard()
# Autograd's threads release their tensors before Python ends, or the process aborts.
atexit.register(time.sleep, 0.2)
