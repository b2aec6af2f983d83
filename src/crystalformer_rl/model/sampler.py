"""Samples crystals token by token, with a key-value cache.

All crystals of a batch are at the same token. A crystal that has reached its pad letter gets its
lattice and leaves the batch, so that no pads are computed; the remainders of several batches are
merged. (The published sampler runs the whole padded sequence for each token.)

The host decides by the letters which crystals end and which coordinates are drawn. It waits for a
GPU once a site for them, and once per coordinate to hear whether an angle has been rejected.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalformer_rl.config import TEMPERATURES
from crystalformer_rl.crystal.lattice import constrain
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import Room, free_memory, uploaded
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.model import distributions
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.distributions import Draw
from crystalformer_rl.model.likelihood import (
    START,
    Tables,
    allowed_log_probs,
    check_space_groups,
)
from crystalformer_rl.model.masks import Masks
from crystalformer_rl.model.streams import CrystalStreams
from crystalformer_rl.model.transformer import (
    ELEMENTS,
    LETTERS,
    TOKENS_PER_SITE,
    Cache,
    Transformer,
    cache_bytes,
    coordinate_size,
    lattice_size,
)

BATCH_ON_CPU: Final = 512
LARGEST_BATCH: Final = 8192
SHARE: Final = 0.5
"""Fraction of the free memory of a GPU for the cache of a batch, if all its crystals were as long
as the longest."""
_DRAWS: Final = 8
"""Numbers of draws per site: letter, element, x, y, z, lattice."""


@dataclass(frozen=True)
class Samples:
    """Crystals and ln p of each given its space group, ``(B,)``, float64.

    ln p is the policy's under the constraints, the same as ``log_prob`` returns. Temperatures and
    nucleus change which crystals are sampled, not the reported ln p.
    """

    tokens: CrystalTokens
    log_prob: NDArray[np.float64]

    @classmethod
    def of_shares(cls, shares: Sequence[tuple[NDArray[np.int64], "Samples"]]) -> "Samples":
        """All crystals from the shares of the processes, each with the places of its crystals."""
        order = np.argsort(np.concatenate([places for places, _ in shares]))
        tokens = CrystalTokens.concatenate([samples.tokens for _, samples in shares])
        log_prob = np.concatenate([samples.log_prob for _, samples in shares])
        return cls(tokens[order], log_prob[order])


def sample(
    network: Transformer,
    tables: Tables,
    space_groups: NDArray[np.int64],
    *,
    seed: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    first_element_temperature: float | None = None,
    constraints: Constraints,
    batch_size: int | None = None,
    parallel: Parallel = SINGLE,
) -> Samples:
    """Sample one crystal per space group, in the given order.

    The same arguments give the same crystals on the same kind of device. The batch size and the
    number of processes change them by rounding only. When a batch does not fit into memory, the
    crystals that are not finished are sampled again, half as many at once.

    Parameters
    ----------
    space_groups
        ``(B,)`` 1–230.
    temperature, top_p
        As the published sampler, see :mod:`crystalformer_rl.model.distributions`.
    first_element_temperature
        Temperature of the first site's element, or None for ``temperature``.
    constraints
        Constraints that the crystals satisfy.
    batch_size
        Crystals sampled at once, which bounds the memory of the cache; None: 512 on a CPU, and by
        the free memory on a GPU.
    parallel
        The processes that share the work. All call this function with the same arguments, inside
        :meth:`~crystalformer_rl.jobs.parallel.Parallel.failing_together`, and get all crystals.

    Raises
    ------
    ValueError
        If ``space_groups`` is empty or contains a number outside 1–230, if no crystal of a space
        group can satisfy the constraints, if a temperature is outside 1e-6 to 1e6, or ``top_p``
        outside (0, 1].
    """
    groups = np.asarray(space_groups, dtype=np.int64)
    if groups.ndim != 1 or len(groups) == 0:
        raise ValueError(f"space_groups must be a list of at least one, got shape {groups.shape}")
    check_space_groups(groups)
    first = temperature if first_element_temperature is None else first_element_temperature
    for name, value in (("temperature", temperature), ("first_element_temperature", first)):
        distributions.check_within(name, value, TEMPERATURES)
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")
    device = network.out.weight.device
    masks = Masks(constraints, groups, max_sites=network.settings.max_sites, device=device)
    room = Room(batch_size or _batch_that_fits(network), unit="crystals at once")

    mine = parallel.share(np.arange(len(groups)))
    streams = CrystalStreams.of_crystals(seed, torch.from_numpy(mine).to(device))

    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            drawing = _Drawing(
                network,
                tables,
                masks,
                groups[mine],
                streams=streams,
                draw=Draw(streams, temperature, top_p),
                draw_first_element=Draw(streams, first, top_p),
            )
            room.attempt(drawing.run, size=len(mine))
            shares = parallel.gather((mine, drawing.samples()))
    finally:
        network.train(training)
    return Samples.of_shares(shares)


def _batch_that_fits(network: Transformer) -> int:
    free = free_memory(network.out.weight.device)
    if free is None:
        return BATCH_ON_CPU
    return min(LARGEST_BATCH, int(SHARE * free / cache_bytes(network.settings)))


@dataclass
class _Batch:
    """Crystals with ``site`` sites each.

    Attributes
    ----------
    members
        ``(b,)`` their indices among all crystals, on the host.
    rows
        The same on the device.
    logits
        ``(b, 28)`` of their next letter.
    """

    site: int
    members: NDArray[np.int64]
    rows: Tensor
    logits: Tensor
    cache: Cache

    def drop(self, ended: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Remove the ``ended`` crystals; return the indices of the rest in their new order.

        The last ones fill the gaps, so that few keys and values are copied.
        """
        rest = np.flatnonzero(~ended)
        gaps = np.flatnonzero(ended[: len(rest)])
        order = np.arange(len(rest))
        order[gaps] = rest[len(rest) - len(gaps) :]
        self.rows = self.rows[_on(self.rows, order)]
        self.members = self.members[order]
        self.cache.keep(order)
        return order

    @classmethod
    def join(cls, batches: Sequence["_Batch"]) -> "_Batch":
        """Merge batches that are at the same site into new memory."""
        return cls(
            site=batches[0].site,
            members=np.concatenate([batch.members for batch in batches]),
            rows=torch.cat([batch.rows for batch in batches]),
            logits=torch.cat([batch.logits for batch in batches]),
            cache=Cache.join([batch.cache for batch in batches]),
        )


class _Drawing:
    """The crystals being sampled, as far as they have got."""

    def __init__(
        self,
        network: Transformer,
        tables: Tables,
        masks: Masks,
        groups: NDArray[np.int64],
        *,
        streams: CrystalStreams,
        draw: Draw,
        draw_first_element: Draw,
    ) -> None:
        self.network, self.tables, self.masks, self.groups = network, tables, masks, groups
        self.streams, self.draw, self.draw_first_element = streams, draw, draw_first_element
        self.group = group = torch.tensor(groups, device=network.out.weight.device)
        self.drawn = tables.drawn.cpu().numpy()
        self.settings = settings = network.settings
        shape = len(group), settings.max_sites
        self.letter, self.element = group.new_zeros(shape), group.new_zeros(shape)
        self.position = network.out.weight.new_zeros(*shape, 3)
        self.lattice = network.out.weight.new_zeros(len(group), 6)
        self.log_prob = self.lattice.new_zeros(len(group), dtype=torch.float64)
        self.finished = np.zeros(len(group), dtype=np.bool_)

    def run(self, batch_size: int) -> None:
        """Sample the crystals that are not finished, at most ``batch_size`` at once.

        A batch that has shrunk below a quarter waits until the other batches have reached the same
        site, and continues merged with what is left of them.
        """
        members = np.flatnonzero(~self.finished)
        fresh = deque(np.split(members, range(batch_size, len(members), batch_size)))
        waiting: dict[int, _Batch] = {}
        while fresh or waiting:
            batch = self._start(fresh.popleft()) if fresh else waiting.pop(min(waiting))
            while len(batch.rows) and batch.site < self.settings.max_sites:
                if 4 * len(batch.rows) < batch_size:
                    if batch.site in waiting:
                        batch = _Batch.join([waiting.pop(batch.site), batch])
                        continue
                    if fresh or any(site < batch.site for site in waiting):
                        waiting[batch.site] = _Batch.join([batch])
                        break
                self._draw_site(batch)

    def samples(self) -> Samples:
        """The crystals, with symmetry-fixed lattice parameters set."""
        groups = self.groups
        tokens = CrystalTokens(
            space_group=groups.copy(),
            wyckoff=self.letter.cpu().numpy(),
            element=self.element.cpu().numpy(),
            position=self.position.cpu().double().numpy(),
            lattice=constrain(groups, self.lattice.cpu().double().numpy()),
        )
        return Samples(tokens, self.log_prob.cpu().numpy())

    def _start(self, members: NDArray[np.int64]) -> _Batch:
        rows = _on(self.group, members)
        # An attempt that ran out of memory may have left something there.
        for started in (self.letter, self.element, self.position, self.log_prob):
            started.index_fill_(0, rows, 0)
        return _Batch(
            site=0,
            members=members,
            rows=rows,
            logits=self.network.first_letter(self.group[rows]),
            cache=Cache(self.settings.layers, capacity=TOKENS_PER_SITE * self.settings.max_sites),
        )

    def _draw_site(self, batch: _Batch) -> None:
        """Sample one site of each crystal; a crystal at its pad gets its lattice and leaves."""
        group, letter = self.group[batch.rows], self._letter(batch)
        multiplicity = self.tables.multiplicity[group, letter]
        h = self.network.step(self.network.letter_token(group, letter, multiplicity), batch.cache)
        known = letter.cpu().numpy()
        ended = known == 0
        if batch.site == self.settings.max_sites - 1:
            self._lattice(batch, h, batch.rows)
        elif ended.any():
            places = _on(letter, np.flatnonzero(ended))
            self._lattice(batch, h[places], batch.rows[places])
        if ended.any():
            self.finished[batch.members[ended]] = True
            order = batch.drop(ended)
            known, h = known[order], h[_on(letter, order)]
        if len(batch.rows):
            drawn = self.drawn[self.groups[batch.members], known]
            h = self._coordinates(batch, drawn, self._element(batch, h))
            batch.logits = self.network.read(h, 0, LETTERS)
        batch.site += 1
        if batch.site == self.settings.max_sites:
            self.finished[batch.members] = True

    def _letter(self, batch: _Batch) -> Tensor:
        rows, site = batch.rows, batch.site
        group, before = self.group[rows], self.letter[rows, :site]
        previous = before[:, -1] if site else torch.full_like(group, START)
        allowed = self.masks.next_letter(
            self.tables.allowed_letters[group, previous], group, before, self.element[rows, :site]
        )
        log_probs = allowed_log_probs(batch.logits, allowed)
        letter = distributions.draw_category(log_probs, self._for(self.draw, rows, site, 0))
        self.letter[rows, site] = letter
        self._add(rows, log_probs.gather(1, letter[:, None])[:, 0])
        return letter

    def _element(self, batch: _Batch, h: Tensor) -> Tensor:
        rows, site = batch.rows, batch.site
        group, letters = self.group[rows], self.letter[rows, : site + 1]
        allowed = self.masks.next_element(group, letters, self.element[rows, :site])
        log_probs = allowed_log_probs(self.network.read(h, 0, ELEMENTS), allowed)
        draw = self.draw if site else self.draw_first_element
        element = distributions.draw_category(log_probs, self._for(draw, rows, site, 1))
        self.element[rows, site] = element
        self._add(rows, log_probs.gather(1, element[:, None])[:, 0])
        return self.network.step(self.network.element_token(group, element), batch.cache)

    def _coordinates(self, batch: _Batch, drawn: NDArray[np.bool_], h: Tensor) -> Tensor:
        """Sample x, y and z of a site where they are ``drawn`` ``(b, 3)``, else compute them."""
        rows, site = batch.rows, batch.site
        group, letter = self.group[rows], self.letter[rows, site]
        operation = self.tables.operation[group, letter]
        position, mixtures = h.new_zeros(len(group), 3), []
        for axis in range(3):
            mixture = self.network.read(h, 0, coordinate_size(self.settings))
            image = (operation[:, axis, :3] * position).sum(1) + operation[:, axis, 3]
            value = distributions.wrap(image)
            if drawn[:, axis].any():
                places = _on(rows, np.flatnonzero(drawn[:, axis]))
                draw = self._for(self.draw, rows[places], site, 2 + axis)
                random = distributions.draw_coordinate(mixture[places], draw)
                value = value.index_copy(0, places, random)
            position[:, axis] = value
            mixtures.append(mixture)
            token = self.network.coordinate_token(group, value, axis)
            h = self.network.step(token, batch.cache)
        self.position[rows, site] = position
        log_density = distributions.coordinate_log_density(torch.stack(mixtures, dim=1), position)
        scored = self.tables.scored[group, letter]
        self._add(rows, log_density.masked_fill(~scored, 0.0).double().sum(1))
        return h

    def _lattice(self, batch: _Batch, h: Tensor, rows: Tensor) -> None:
        parameters = self.network.read(h, ELEMENTS, ELEMENTS + lattice_size(self.settings))
        density = self.settings.lattice_density
        draw = self._for(self.draw, rows, batch.site, 5)
        cell = distributions.draw_lattice(parameters, draw, density)
        free = self.tables.free_lattice[self.group[rows]]
        self.lattice[rows] = cell
        self._add(rows, distributions.lattice_log_density(parameters, cell, free, density))

    def _for(self, draw: Draw, rows: Tensor, site: int, kind: int) -> Draw:
        """The draw with the random numbers of these crystals, for one token of a site."""
        return replace(draw, stream=self.streams.of(rows, _DRAWS * site + kind))

    def _add(self, rows: Tensor, log_probs: Tensor) -> None:
        self.log_prob[rows] += log_probs.double()


def _on(like: Tensor, indices: NDArray[np.int64]) -> Tensor:
    """Indices on the device of ``like``."""
    return uploaded(indices, like.device)
