"""Batches: each crystal once, similar lengths, an order that the seed decides."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalformer_rl.training.batches import epoch_batches, length_batches


@settings(max_examples=50)
@given(
    lengths=st.lists(st.integers(1, 20), max_size=400),
    batch_size=st.integers(1, 12),
    seed=st.integers(0, 2**63 - 1),
)
def test_each_crystal_once_per_epoch(lengths: list[int], batch_size: int, seed: int) -> None:
    sites = np.array(lengths, dtype=np.int64)
    batches = epoch_batches(sites, batch_size=batch_size, seed=seed)
    assert len(batches) == -(-len(lengths) // batch_size)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert sum(len(batch) < batch_size for batch in batches) <= 1
    again = epoch_batches(sites, batch_size=batch_size, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_batches_differ_from_epoch_to_epoch_and_save_pads() -> None:
    lengths = np.random.default_rng(0).integers(1, 21, size=1000)
    first, second = (epoch_batches(lengths, batch_size=20, seed=seed) for seed in (1, 2))
    assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in second}
    padded = sum(len(batch) * lengths[batch].max() for batch in first)
    assert padded < 1.15 * lengths.sum()
    sizes = [lengths[batch].mean() for batch in first]
    assert sizes != sorted(sizes)


def test_length_batches_grow() -> None:
    lengths = np.array([3, 1, 2, 1, 5])
    batches = length_batches(lengths, batch_size=2)
    assert [lengths[batch].tolist() for batch in batches] == [[1, 1], [2, 3], [5]]
