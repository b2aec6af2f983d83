"""Batches: each crystal once, similar lengths, an order that the seed decides."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crystalformer_rl.training.batches import cheapest_batches, epoch_batches, length_batches


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


@settings(max_examples=50)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    most=st.integers(1, 8),
    overhead=st.integers(0, 30),
)
def test_no_other_cut_is_cheaper(lengths: list[int], most: int, overhead: int) -> None:
    lengths = sorted(lengths)

    def cost(cuts: tuple[int, ...]) -> int:
        bounds = list(zip((0, *cuts), (*cuts, len(lengths)), strict=True))
        if any(end - start > most for start, end in bounds):
            return 10**9
        return sum(overhead + (end - start) * lengths[end - 1] for start, end in bounds)

    places = range(1, len(lengths))
    every = (cuts for n in range(len(lengths)) for cuts in combinations(places, n))
    found = cheapest_batches(np.array(lengths), most=most, overhead=overhead)
    assert [batch.stop for batch in found[:-1]] == [batch.start for batch in found[1:]]
    assert (found[0].start, found[-1].stop) == (0, len(lengths))
    assert cost(tuple(batch.start for batch in found[1:])) == min(map(cost, every))


def test_nothing_needs_no_batch() -> None:
    assert cheapest_batches(np.zeros(0, dtype=int), most=3, overhead=1) == []
