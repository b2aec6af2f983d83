"""Log-probabilities of a batch, in chunks of crystals of similar length."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final, TypeVar

import numpy as np
import torch

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import Room
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.batches import cheapest_batches
from crystalformer_rl.training.room import tokens_of, training_room

T = TypeVar("T")
Piece = tuple[torch.Tensor, torch.Tensor]
"""Indices of some crystals in their batch, and their ln p in float64, on the device."""

CHUNKS: Final = {"cpu": (64, 60), "cuda": (256, 10_000)}
"""By type of device: most crystals that are scored together, and the tokens that could be computed
in the time that a further chunk costs. The second number is a guess for a GPU."""


@dataclass(frozen=True)
class BatchLogProb:
    """(B,) float64 on the CPU: ln p(crystal | space group), and its part of letters and elements.

    Without gradient.
    """

    total: torch.Tensor
    discrete: torch.Tensor


def log_probs(
    policy: Policy, tokens: CrystalTokens, *, constraints: Constraints, parallel: Parallel = SINGLE
) -> BatchLogProb:
    """ln p of every crystal without gradient or dropout; each process scores its share.

    Computed over the same chunks as the gradient steps, so that the ratio of the first step is
    exactly 1, unless a chunk of a gradient step does not fit into memory.
    """
    policy.eval()

    def work(most: int) -> torch.Tensor:
        found = torch.zeros(2, len(tokens), dtype=torch.float64)
        with torch.no_grad():
            for indices, chunk in chunks(tokens, parallel, most=most, device=device):
                scores = policy.log_prob(chunk, constraints=constraints)
                both = torch.stack([scores.total, scores.wyckoff + scores.element])
                found[:, indices] = both.double().cpu()
        return found

    device = next(policy.parameters()).device
    room, size = scoring_room(device.type), share_size(tokens, parallel)
    total, discrete = parallel.sum(room.attempt(work, size=size))
    return BatchLogProb(total, discrete)


@cache
def scoring_room(kind: str) -> Room:
    """Crystals that this process scores together on a type of device, with or without gradient.

    It is told only after the update of a batch that this fitted, and so grows only between batches:
    the chunks of the gradient steps are those of the log-probabilities before.
    """
    return Room(CHUNKS[kind][0], unit="crystals at once")


def share_size(tokens: CrystalTokens, parallel: Parallel) -> int:
    """How many of the crystals :func:`chunks` gives to this process."""
    return len(parallel.share(tokens.num_sites))


def chunks(
    tokens: CrystalTokens, parallel: Parallel, *, most: int, device: torch.device
) -> Iterator[tuple[torch.Tensor, CrystalTokens]]:
    """This process's share of the crystals in chunks of similar length, each with its indices.

    The shares have the same lengths as far as possible, and with them the same work. A chunk has at
    most ``most`` crystals.
    """
    _, overhead = CHUNKS[device.type]
    mine = parallel.share(np.argsort(tokens.num_sites, kind="stable"))
    for batch in cheapest_batches(tokens_of(tokens[mine]), most=most, overhead=overhead):
        yield torch.from_numpy(mine[batch]), tokens[mine[batch]]


@dataclass
class Scores:
    """ln p of this process's share of the crystals with gradient, in pieces.

    Attributes
    ----------
    kept
        The pieces whose graphs are in memory, all of them after :meth:`keep`.
    """

    policy: Policy
    tokens: CrystalTokens
    constraints: Constraints
    parallel: Parallel
    kept: list[Piece] = field(default_factory=list)

    def keep(self) -> bool:
        """Compute all pieces now, if their graphs fit into the memory of every process.

        Returns whether they do. To use them twice then takes no second computation.
        """
        mine = int(self.parallel.share(np.sort(tokens_of(self.tokens))).sum())

        def compute(most: int) -> list[Piece] | None:
            return list(self._pieces(self._room.most)) if mine <= most else None

        kept = training_room(self.policy).attempt(compute, size=mine)
        fits = not self.parallel.any(kept is None)
        self.kept = kept if kept is not None and fits else []
        return fits

    def attempt(self, work: Callable[[Iterable[Piece]], T]) -> T:
        """``work`` on all pieces; while memory is short, again from its start with smaller ones.

        Kept pieces are used once, because a backward pass frees their graphs.
        """

        def once(most: int) -> T:
            pieces, self.kept = self.kept or self._pieces(most), []
            return work(pieces)

        return self._room.attempt(once, size=share_size(self.tokens, self.parallel))

    @property
    def _room(self) -> Room:
        return scoring_room(self._device.type)

    @property
    def _device(self) -> torch.device:
        return next(self.policy.parameters()).device

    def _pieces(self, most: int) -> Iterator[Piece]:
        for indices, part in chunks(self.tokens, self.parallel, most=most, device=self._device):
            log_prob = self.policy.log_prob(part, constraints=self.constraints).total
            yield indices.to(self._device), log_prob.double()
