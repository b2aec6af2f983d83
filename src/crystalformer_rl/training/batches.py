"""Batches of crystals of similar length, which need little padding."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal.tokens import CrystalTokens

POOL = 16

Indices = NDArray[np.int64]


class Crystals(Protocol):
    """An indexable set of crystals, in memory or in a memory-mapped file."""

    @property
    def num_sites(self) -> Indices:
        """``(B,)``: sites per crystal."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Indices, /) -> CrystalTokens: ...


def epoch_batches(lengths: Indices, *, batch_size: int, seed: int) -> list[Indices]:
    """Batches of one epoch: every crystal once, in an order that depends only on ``seed``.

    The crystals are shuffled and cut into pools of 16 batches; each pool is sorted by length and
    cut into batches, and all batches are shuffled. A batch therefore has crystals of
    similar length, different ones in each epoch. There are ``ceil(n / batch_size)`` batches; one
    may be smaller.

    Parameters
    ----------
    lengths
        (n,) sites per crystal.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(lengths))
    batches: list[Indices] = []
    for pool in _cut(order, POOL * batch_size):
        batches += _cut(pool[np.argsort(lengths[pool], kind="stable")], batch_size)
    return [batches[i] for i in generator.permutation(len(batches))]


def length_batches(lengths: Indices, *, batch_size: int) -> list[Indices]:
    """All crystals in batches of increasing length, for work that does not depend on order."""
    return list(_cut(np.argsort(lengths, kind="stable"), batch_size))


def parts_within(lengths: Indices, *, most: int) -> list[Indices]:
    """All crystals in as few parts as possible, each of at most ``most`` tokens, pads included.

    The crystals of a part have similar lengths. If one part is enough, it has the crystals in their
    order. A crystal with more tokens is a separate part.

    Parameters
    ----------
    lengths
        (n,) tokens per crystal.
    """
    everything = np.arange(len(lengths))
    if len(lengths) * lengths.max(initial=0) <= most:
        return [everything] if len(lengths) else []
    order = np.argsort(lengths, kind="stable")[::-1].copy()  # torch takes no negative strides
    parts: list[Indices] = []
    while len(order):
        size = max(1, most // int(lengths[order[0]]))
        parts.append(order[:size])
        order = order[size:]
    if len(parts) > 1 and len(parts[-1]) == 1 < len(parts[-2]):
        # A compiled network is compiled once more for a single crystal.
        parts[-2:] = [parts[-2][:-1], np.append(parts[-2][-1:], parts[-1])]
    return parts


def cheapest_batches(lengths: Indices, *, most: int, overhead: int) -> list[slice]:
    """Consecutive batches that cost the least together.

    A batch costs its largest length times its number of sequences, and ``overhead``.

    Parameters
    ----------
    lengths
        (n,) in increasing order.
    most
        Largest number of sequences in a batch.
    """
    least = np.zeros(len(lengths) + 1, dtype=np.int64)  # of the sequences before each index
    start = np.zeros_like(least)
    for end in range(1, len(least)):
        starts = np.arange(max(0, end - most), end)
        costs = least[starts] + (end - starts) * lengths[end - 1] + overhead
        start[end] = starts[costs.argmin()]
        least[end] = costs.min()
    batches: list[slice] = []
    end = len(lengths)
    while end:
        batches.append(slice(int(start[end]), end))
        end = int(start[end])
    return batches[::-1]


def _cut(indices: Indices, size: int) -> Iterator[Indices]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]
