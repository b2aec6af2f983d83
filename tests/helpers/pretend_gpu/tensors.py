"""Tensors of the pretend device, its random generators, and the rules of their operations."""

import os
import sys
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

T = TypeVar("T")
DEVICE = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
# Operations between two devices by definition.
COPIES = {"_to_copy", "copy_", "copy", "_copy_from", "_copy_from_and_resize"}
# Indices may be on the CPU; if the tensor is on the CPU they must be.
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
PRODUCTS = {"mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot"}  # CUDA has none of integers
# Sums whose order changes from run to run.
UNORDERED = {
    "index_add", "index_add_", "scatter_add", "scatter_add_", "scatter_reduce_", "index_reduce_",
    "embedding_dense_backward", "bincount", "put_",
}  # fmt: skip
# Not element by element: a CPU tensor is refused even if it has no dimensions.
STRICT = {
    "cat", "stack", "index_select", "index_copy_", "gather", "scatter", "scatter_", "embedding",
    "masked_scatter", "masked_select", "multinomial", "searchsorted", *PRODUCTS, *UNORDERED,
}  # fmt: skip
# The host waits for a value, or for the size of the result.
SYNCS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "bincount"}
REFUSED = {"set_", "resize_", "resize_as_", "t_", "transpose_", "squeeze_", "unsqueeze_"}


class Cuda(torch.Tensor):
    """A tensor that says it is on a GPU; ``numbers`` is its CPU tensor."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, numbers: torch.Tensor) -> "Cuda":
        form = {"dtype": numbers.dtype, "layout": numbers.layout, "strides": numbers.stride()}
        form |= {"storage_offset": numbers.storage_offset(), "device": DEVICE}
        with torch.inference_mode(numbers.is_inference()):
            return torch.Tensor._make_wrapper_subclass(cls, numbers.size(), **form)

    def __init__(self, numbers: torch.Tensor) -> None:
        self.numbers = numbers
        self.memory = Memory(current, numbers.untyped_storage())

    def __repr__(self) -> str:  # type: ignore[override]
        return f"{self.numbers!r} on {DEVICE}"

    @classmethod
    def __torch_dispatch__(cls, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def numpy(self, *, force: bool = False) -> Any:
        """Refused, as on CUDA."""
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(
            f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() to copy the "
            "tensor to host memory first."
        )

    def tolist(self) -> Any:
        """By a copy to the CPU; torch's own does not support subclasses."""
        return self.detach().cpu().tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        """On the CPU; from it safetensors sees which tensors share memory."""
        return self.numbers.untyped_storage()


class Generator(torch.Generator):
    """A generator that knows its device; operations receive another object at the same address."""

    known: ClassVar["weakref.WeakValueDictionary[int, Generator]"] = weakref.WeakValueDictionary()

    def __new__(cls, device: Any = "cpu") -> "Generator":
        made = super().__new__(cls)
        made.place = placed(device)
        cls.known[made._cdata] = made
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.place


class Gpu(TorchDispatchMode):
    """The device.

    Attributes
    ----------
    limit
        Its memory in bytes; an allocation beyond it raises ``torch.OutOfMemoryError``.
    allocated, peak
        Bytes of the tensors that are alive, and the largest such number so far. Like CUDA's, they
        count a storage once, however many tensors view it.
    failures
        How many allocations have been refused.
    counts
        By kind (``launch``, ``sync``, ``to_gpu``, ``to_cpu``, ``unordered``), operation and line.
    """

    def __init__(self, *, limit: float, watch: str) -> None:
        super().__init__()
        self.limit, self.watch, self.nccl = limit, watch, False
        self.allocated = self.peak = self.failures = 0
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.holders: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def total(self, kind: str) -> int:
        """How often something was counted."""
        return sum(n for (what, _, _), n in self.counts.items() if what == kind)

    def short_of_memory(self, work: Callable[[], T], *, share: float = 0.5) -> tuple[T, T]:
        """What ``work`` gives, and what it gives again with a ``share`` of the memory that it took.

        Raises
        ------
        AssertionError
            If no allocation is refused the second time.
        """
        before = self.peak = self.allocated
        expected = work()
        self.limit = before + share * (self.peak - before)
        found = work()
        assert self.failures
        return expected, found

    def report(self, kinds: tuple[str, ...] = ("sync", "to_cpu", "to_gpu", "unordered")) -> str:
        """Totals, and the lines of code behind ``kinds``, most frequent first."""
        totals = ", ".join(f"{kind} {self.total(kind)}" for kind in ("launch", *kinds))
        rows = [(n, *key) for key, n in self.counts.most_common() if key[0] in kinds]
        return "\n".join([totals, *("{:7} {:9} {:22} {}".format(*row) for row in rows)])

    def count(self, kind: str, name: str) -> None:
        """Note one more, under the innermost line of the watched code."""
        frame: Any = sys._getframe(2)
        while frame and self.watch not in frame.f_code.co_filename:
            frame = frame.f_back
        path = frame.f_code.co_filename.rpartition(self.watch)[2].lstrip("/") if frame else ""
        place = f"{path}:{frame.f_lineno} {frame.f_code.co_name}" if frame else "elsewhere"
        self.counts[kind, name, place] += 1


class Memory:
    """A share in a storage, which counts as allocated until its last share is gone.

    A tensor keeps it as an attribute: `torch.utils.swap_tensors` refuses tensors with weak
    references.
    """

    def __init__(self, gpu: Gpu, storage: torch.UntypedStorage) -> None:
        self._gpu: Gpu | None = gpu
        self._address, self._size = storage.data_ptr(), storage.nbytes()
        if not gpu.holders[self._address]:
            if gpu.allocated + self._size > gpu.limit:
                gpu.failures += 1
                self._gpu = None
                raise torch.OutOfMemoryError(
                    f"CUDA out of memory. Tried to allocate {self._size} bytes; {gpu.allocated} of "
                    f"{gpu.limit} are in use."
                )
            gpu.allocated += self._size
            gpu.peak = max(gpu.peak, gpu.allocated)
        gpu.holders[self._address] += 1

    def __del__(self) -> None:
        if (gpu := self._gpu) is None:  # refused
            return
        gpu.holders[self._address] -= 1
        if not gpu.holders[self._address]:
            del gpu.holders[self._address]
            gpu.allocated -= self._size


current: Any = None
"""The :class:`Gpu`, inside of ``device()``."""


def placed(device: Any) -> torch.device:
    """The device with its number; there is one GPU."""
    place = torch.device(device)
    if place.type == "cuda" and place.index not in (None, DEVICE.index):
        raise RuntimeError(f"CUDA error: invalid device ordinal: {place}")
    return DEVICE if place.type == "cuda" else place


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Execute an operation on the numbers, by the rules of the devices."""
    if func._can_decompose():  # in inference mode, operations made of others arrive here too
        with current:
            return func.decompose(*args, **kwargs)
    leaves = tree_leaves((args, kwargs))
    tensors = [x for x in leaves if isinstance(x, torch.Tensor)]
    owners = {id(x.numbers): x for x in tensors if isinstance(x, Cuda)}
    on_gpu, asked, name = bool(owners), kwargs.get("device"), func._schema.name.split("::")[1]
    to_gpu = on_gpu if asked is None else placed(asked) == DEVICE
    for x in leaves:
        if isinstance(x, torch._C.Generator):
            found, wanted = Generator.known.get(x._cdata, x).device.type, ("cpu", "cuda")[to_gpu]
            if found != wanted:
                raise RuntimeError(
                    f"Expected a '{wanted}' device type for generator but found '{found}'"
                )
    if not on_gpu and not to_gpu:
        return func(*args, **kwargs)
    if name in REFUSED:
        raise NotImplementedError(f"pretend_gpu has no {name}")
    _check_devices(name, args, tensors)
    if name in PRODUCTS and not (tensors[0].is_floating_point() or tensors[0].is_complex()):
        raise NotImplementedError(f'"{name}_cuda" not implemented for {tensors[0].dtype}')
    plain = tree_map(lambda x: x.numbers if isinstance(x, Cuda) else x, (args, kwargs))
    out = func(*plain[0], **plain[1] | ({} if asked is None else {"device": "cpu"}))
    to_gpu = isinstance(args[0], Cuda) if name == "copy_" else to_gpu
    _note(func, name, args, kwargs, on_gpu=on_gpu, to_gpu=to_gpu)

    def wrap(x: Any) -> Any:
        if not isinstance(x, torch.Tensor) or id(x) in owners or not to_gpu:
            return owners.get(id(x), x)  # the owner of what was written in place
        return Cuda(x)

    return tree_map(wrap, out)


def _check_devices(name: str, args: Any, tensors: list[torch.Tensor]) -> None:
    """Raise where CUDA would find tensors of two devices."""
    if name in COPIES:
        return
    if name in INDEXING:
        target, indices, *values = args
        if not isinstance(target, Cuda) and any(isinstance(x, Cuda) for x in indices):
            raise RuntimeError("indices should be on the device of the indexed tensor (cpu)")
        tensors = [x for x in (target, *values) if isinstance(x, torch.Tensor)]
    smallest = 0 if name in STRICT else 1
    strangers = [x for x in tensors if not isinstance(x, Cuda) and x.dim() >= smallest]
    if strangers and any(isinstance(x, Cuda) for x in tensors):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{DEVICE} and cpu! ({name}: {[*strangers[0].shape]} on cpu)"
        )


def _note(func: Any, name: str, args: Any, kwargs: Any, *, on_gpu: bool, to_gpu: bool) -> None:
    """Count what the operation costs."""
    count = current.count
    if name in COPIES and isinstance(args[name == "copy_"], Cuda) != to_gpu:
        count("to_gpu" if to_gpu else "to_cpu", name)
        if to_gpu and not (kwargs.get("non_blocking") or args[2:3] == (True,)):
            count("sync", f"{name} that waits for the stream")
    if name == "where" and not all(isinstance(x, Cuda) for x in args):
        count("sync", "where uploads a number")
    if name in INDEXING and on_gpu:
        indices = [x for x in args[1] if x is not None]
        if any(x.dtype in (torch.bool, torch.uint8) for x in indices):
            count("sync", f"{name} by a mask")
        if not all(isinstance(x, Cuda) for x in indices):
            count("to_gpu", f"{name} by CPU indices")
    if name in SYNCS or (name == "repeat_interleave" and func._overloadname == "Tensor"):
        count("sync", name)
    if name in UNORDERED or (name in INDEXING and args[3:4] == (True,)):
        count("unordered", name)
    if not func.is_view and name not in ("detach", "alias"):
        count("launch", name)
