import ctypes
import resource

import pytest
import torch

from crystalformer_rl.jobs.device import keep_freed_memory


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_memory_that_a_tensor_frees_serves_the_next_one() -> None:
    keep_freed_memory()
    torch.ones(2**25, dtype=torch.uint8)
    before = faults()
    torch.ones(2**24, dtype=torch.uint8)
    assert faults() - before < 2**24 / resource.getpagesize() / 10
