"""Random numbers for the distributions: one stream for each crystal, or one for all rows.

The crystals of a sampler must not depend on its batches, whose size follows from the free memory,
nor on the number of processes that share the work. Each of its numbers is therefore a hash of the
seed, the crystal and what the number is for: any batches, in any order, give the same crystals. A
Markov chain, whose batches are fixed, draws from a generator.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

# SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): its increment and the factors of its hash.
_INCREMENT, _FACTORS = 0x9E3779B97F4A7C15, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
# Places of the numbers of one draw in its crystal's stream; the proposals take all that follow.
_CHOICE, _NORMAL, _TURN, _PROPOSALS = 0, 8, 20, 24
_AT_ONCE = 48


class Stream(Protocol):
    """Random numbers for n rows."""

    def choice(self, probability: Tensor) -> Tensor:
        """An index ``(m,)`` for each row ``(m, k)`` of probabilities; m is a multiple of n."""
        ...

    def uniform(self, like: Tensor) -> Tensor:
        """``(n,)`` in [0, 1), of the type of ``like``."""
        ...

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers of the shape ``(n, …)`` and the type of ``like``."""
        ...

    def proposals(self, rows: Tensor, count: int, attempt: int, like: Tensor) -> Tensor:
        """``(2, len(rows), count)`` in [0, 1), for some of the rows."""
        ...


@dataclass(frozen=True)
class SharedStream:
    """One generator for all rows."""

    generator: torch.Generator

    def choice(self, probability: Tensor) -> Tensor:
        return torch.multinomial(probability, 1, generator=self.generator)[:, 0]

    def uniform(self, like: Tensor) -> Tensor:
        return torch.rand(
            like.shape, generator=self.generator, dtype=like.dtype, device=like.device
        )

    def normal(self, like: Tensor) -> Tensor:
        return torch.empty_like(like).normal_(generator=self.generator)

    def proposals(self, rows: Tensor, count: int, _attempt: int, like: Tensor) -> Tensor:
        shape = (2, len(rows), count)
        return torch.rand(shape, generator=self.generator, dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class CrystalStreams:
    """A stream for each row.

    Attributes
    ----------
    keys
        ``(n,)`` int64, which determine the numbers.
    """

    keys: Tensor

    @classmethod
    def of_crystals(cls, seed: int, crystals: Tensor) -> "CrystalStreams":
        """A stream for each of the crystals with the indices ``crystals`` ``(n,)``."""
        return cls(_mixed(crystals * _signed(_INCREMENT) + _signed(seed)))

    def of(self, rows: Tensor, draw: int) -> "CrystalStreams":
        """The streams of some rows for the draw with this number."""
        return CrystalStreams(_mixed(self.keys[rows] + _signed(draw * _INCREMENT)))

    def choice(self, probability: Tensor) -> Tensor:
        each = len(probability) // len(self.keys)
        cumulative = probability.double().cumsum(-1)
        target = self._numbers(_CHOICE, each).reshape(-1, 1) * cumulative[:, -1:]
        # An index whose probability is 0 is never the first above the target.
        return (cumulative <= target).sum(-1).clamp_max(probability.shape[1] - 1)

    def uniform(self, like: Tensor) -> Tensor:
        return self._numbers(_TURN, 1)[:, 0].to(like.dtype)

    def normal(self, like: Tensor) -> Tensor:
        each = like.numel() // len(self.keys)
        first, second = self._numbers(_NORMAL, 2 * each).chunk(2, dim=1)
        radius = torch.sqrt(-2 * torch.log1p(-first))  # Box and Muller, 1958
        return (radius * torch.cos(2 * math.pi * second)).view(like.shape).to(like.dtype)

    def proposals(self, rows: Tensor, count: int, attempt: int, like: Tensor) -> Tensor:
        start = _PROPOSALS + 2 * count * attempt
        numbers = self._numbers(start, 2 * count)[rows]
        return numbers.view(-1, 2, count).transpose(0, 1).to(like.dtype)

    def _numbers(self, start: int, count: int) -> Tensor:
        """``(n, count)`` float64 in [0, 1), from the ``start``-th of each row."""
        if start + count <= _AT_ONCE:
            return self._first[:, start : start + count]
        return self._hashed(start, count)

    @cached_property
    def _first(self) -> Tensor:
        """The numbers that most draws take: one hash of more numbers is faster than several."""
        return self._hashed(0, _AT_ONCE)

    def _hashed(self, start: int, count: int) -> Tensor:
        places = torch.arange(start + 1, start + count + 1, device=self.keys.device)
        bits = _mixed(self.keys[:, None] + places * _signed(_INCREMENT))
        return _shifted(bits, 11).double() * 2.0**-53


def _mixed(x: Tensor) -> Tensor:
    """The hash of SplitMix64, element by element; products wrap around."""
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, shift: int) -> Tensor:
    """Shift to the right and fill with zeros, as for an unsigned integer."""
    return (x >> shift) & ((1 << (64 - shift)) - 1)


def _signed(number: int) -> int:
    """The signed integer of 64 bits with the same bits, modulo 2^64."""
    number %= 1 << 64
    return number - (1 << 64) if number >> 63 else number
