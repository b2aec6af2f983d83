"""Random numbers of the sampler: one stream for a batch, or one for each crystal.

On a CPU all crystals of a batch share a generator. On a GPU the size of a batch follows from the
free memory, and the crystals must not depend on it. There each number is a hash of the seed, the
crystal and what the number is for: any batches, in any order, give the same crystals.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

# SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): its increment and the factors of its hash.
_INCREMENT, _FACTORS = 0x9E3779B97F4A7C15, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
# Places of the numbers of one draw in its crystal's stream; the proposals take all that follow.
_CHOICE, _NORMAL, _TURN, _PROPOSALS = 0, 8, 20, 24


class Stream(Protocol):
    """Random numbers for n rows."""

    def of(self, crystals: Tensor, draw: int) -> "Stream":
        """The stream of the draw with this number, for ``crystals`` ``(n,)``."""
        ...

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

    def of(self, _crystals: Tensor, _draw: int) -> "SharedStream":
        return self

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
    """A stream for each row, by the seed, its crystal and the number of the draw."""

    seed: int
    crystals: Tensor
    draw: int = 0

    def of(self, crystals: Tensor, draw: int) -> "CrystalStreams":
        return CrystalStreams(self.seed, crystals, draw)

    def choice(self, probability: Tensor) -> Tensor:
        each = len(probability) // len(self.crystals)
        cumulative = probability.double().cumsum(-1)
        target = self._numbers(_CHOICE, each).view(-1, 1) * cumulative[:, -1:]
        # An index whose probability is 0 is never the first above the target.
        return (cumulative <= target).sum(-1).clamp_max(probability.shape[1] - 1)

    def uniform(self, like: Tensor) -> Tensor:
        return self._numbers(_TURN, 1)[:, 0].to(like.dtype)

    def normal(self, like: Tensor) -> Tensor:
        each = like.numel() // len(self.crystals)
        first, second = self._numbers(_NORMAL, 2 * each).chunk(2, dim=1)
        radius = torch.sqrt(-2 * torch.log1p(-first))  # Box and Muller, 1958
        return (radius * torch.cos(2 * math.pi * second)).view(like.shape).to(like.dtype)

    def proposals(self, rows: Tensor, count: int, attempt: int, like: Tensor) -> Tensor:
        start = _PROPOSALS + 2 * count * attempt
        numbers = self.of(self.crystals[rows], self.draw)._numbers(start, 2 * count)
        return numbers.view(-1, 2, count).transpose(0, 1).to(like.dtype)

    def _numbers(self, start: int, count: int) -> Tensor:
        """``(n, count)`` float64 in [0, 1)."""
        places = torch.arange(start, start + count, device=self.crystals.device)
        key = _mixed(self.crystals * _signed(_INCREMENT) + _signed(self.seed))
        key = _mixed(key + _signed(self.draw * _INCREMENT))
        bits = _mixed(key[:, None] + (places + 1) * _signed(_INCREMENT))
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
