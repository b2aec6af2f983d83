"""What the pretend device replaces in torch, in Python and below it."""

import ctypes
import functools
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn import functional

from helpers.pretend_gpu import tensors
from helpers.pretend_gpu.tensors import DEVICE, Cuda, Generator

MEMORY = 80 * 2**30
"""Bytes that ``mem_get_info`` reports of a device without a limit."""


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """What is replaced in torch's Python: owner, name, replacement."""

    def attention(query: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        return (_attention if isinstance(query, Cuda) else fused)(query, *args, **kwargs)

    def swap(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        # A wrapper cannot be put into a parameter's `data`; swapping keeps the parameter the same.
        kept = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            return apply(module, *args, **kwargs)
        finally:
            torch.__future__.set_swap_module_params_on_conversion(kept)

    def join(backend: str | None = None, **kwargs: Any) -> None:
        tensors.current.nccl = backend == "nccl"
        kwargs |= {"device_id": None} if tensors.current.nccl else {}
        init("gloo" if tensors.current.nccl else backend, **kwargs)

    def collective(plain: Any, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        if tensors.current.nccl and not isinstance(tensor, Cuda):
            raise RuntimeError("No backend type associated with device type cpu")
        return plain(getattr(tensor, "numbers", tensor), *args, **kwargs)

    fused, apply = functional.scaled_dot_product_attention, torch.nn.Module._apply
    init = dist.init_process_group
    yield functional, "scaled_dot_product_attention", attention
    yield torch.nn.Module, "_apply", swap
    yield torch.nn.Module, "compile", lambda self, *_, **__: self
    yield torch, "Generator", Generator
    yield dist, "init_process_group", join
    for name in ("all_reduce", "broadcast"):
        yield dist, name, functools.partial(collective, getattr(dist, name))
    for module in ("torch.optim.optimizer", "torch.utils._foreach_utils"):  # many at once
        many = [torch.Tensor, torch.nn.Parameter, Cuda]
        yield sys.modules[module], "_foreach_supported_types", many
    yield torch.cuda, "mem_get_info", _memory
    yield torch.cuda, "memory_allocated", lambda *_: tensors.current.allocated
    yield torch.cuda, "max_memory_allocated", lambda *_: tensors.current.peak
    answers = dict.fromkeys(("is_available", "is_initialized", "is_bf16_supported"), True)
    nothing = ("_lazy_init", "_lazy_call", "set_device", "empty_cache", "synchronize")
    answers |= dict.fromkeys((*nothing, "manual_seed_all", "reset_peak_memory_stats"), None)
    answers |= {"device_count": int(os.environ.get("LOCAL_WORLD_SIZE", "1"))}
    answers |= {"current_device": DEVICE.index, "get_device_name": "pretend GPU"}
    answers |= {"get_device_capability": (9, 0), "memory_reserved": 0}
    for name, answer in answers.items():
        yield torch.cuda, name, lambda *_, answer=answer, **__: answer


def _memory(*_: Any) -> tuple[int, int]:
    total = int(min(tensors.current.limit, MEMORY))
    return max(0, total - tensors.current.allocated), total


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    """Attention written out, with the check and the memory layout of the fused kernels."""
    given = query, key, value
    if torch.is_autocast_enabled("cuda"):
        given = tuple(x.to(torch.get_autocast_dtype("cuda")) for x in given)
    if len(kinds := {x.dtype for x in given}) > 1:
        raise RuntimeError(f"Expected query, key, and value to have the same dtype, got {kinds}")
    with torch.autocast("cuda", enabled=False):
        out = torch.ops.aten._scaled_dot_product_attention_math(*given, *args, **kwargs)[0]
    return out.transpose(1, 2).contiguous().transpose(1, 2) if out.dim() == 4 else out


_POINTER = ctypes.c_void_p
_ANSWERS = [ctypes.CFUNCTYPE(ctypes.c_int, _POINTER)(lambda _, number=n: number) for n in (0, 1)]
_ZERO, _ONE = (ctypes.cast(answer, _POINTER).value for answer in _ANSWERS)
_TORCH = Path(torch.__file__).parent


def set_device_guard() -> None:
    """Give torch a current CUDA device, by which autograd creates its threads at its first use.

    Torch has a pretend one, and takes it if the real one counts no devices. A build for CPUs has
    no real one: for a moment an object whose every method answers 0 stands in for it.
    """
    core = ctypes.CDLL(str(next(_TORCH.glob("lib/libc10.*"))))
    guards = (_POINTER * 2).in_dll(core, "_ZN3c104impl26device_guard_impl_registryE")
    stand_in = _POINTER(ctypes.addressof(methods := (_POINTER * 64)(*[_ZERO] * 64)))
    guards[1] = guards[1] or ctypes.addressof(stand_in)  # 1 is CUDA
    torch._C._ensureCUDADeviceGuardSet()
    assert guards[1] != ctypes.addressof(stand_in), methods


@contextmanager
def built_with_cuda() -> Iterator[None]:
    """Let autograd believe that torch was built with CUDA: two methods of its hooks answer 1."""
    header = (_TORCH / "include/ATen/detail/AcceleratorHooksInterface.h").read_text()
    names = ["destructor", *re.findall(r"virtual [^;{}]*?(~?\w+)\(", header)]
    get = ctypes.CDLL(str(next(_TORCH.glob("lib/libtorch_cpu.*"))))._ZN2at6detail12getCUDAHooksEv
    get.restype = _POINTER
    hooks = _POINTER.from_address(get())
    kept = hooks.value
    methods = (_POINTER * 64)(*(_POINTER * 64).from_address(kept))
    for name in ("isBuilt", "hasPrimaryContext"):
        methods[names.index(name)] = _ONE
    hooks.value = ctypes.addressof(methods)
    try:
        yield
    finally:
        hooks.value = kept
