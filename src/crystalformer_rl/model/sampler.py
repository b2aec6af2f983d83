"""Samples crystals token by token, with a key-value cache.

All crystals of a batch are at the same token. A crystal that has reached its pad letter gets its
lattice and leaves the batch, so that no pads are computed; the remainders of several batches are
merged. (The published sampler runs the whole padded sequence for each token.)
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalformer_rl.config import TEMPERATURES
from crystalformer_rl.crystal.lattice import constrain
from crystalformer_rl.crystal.tokens import CrystalTokens
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
from crystalformer_rl.model.transformer import (
    ELEMENTS,
    LETTERS,
    TOKENS_PER_SITE,
    Cache,
    Transformer,
    coordinate_size,
    lattice_size,
)


@dataclass(frozen=True)
class Samples:
    """Crystals and ln p of each given its space group, ``(B,)``, float64.

    ln p is the policy's under the constraints, the same as ``log_prob`` returns. Temperatures and
    nucleus change which crystals are sampled, not the reported ln p.
    """

    tokens: CrystalTokens
    log_prob: NDArray[np.float64]


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
    batch_size: int = 512,
) -> Samples:
    """Sample one crystal per space group, in the given order.

    The same arguments give the same crystals on the same kind of device.

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
        Crystals sampled at once; bounds the memory of the cache.

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
    draw = Draw(torch.Generator(device=device).manual_seed(seed), temperature, top_p)
    drawing = _Drawing(network, tables, masks, torch.tensor(groups, device=device), draw)
    drawing.draw_first_element = replace(draw, temperature=first)
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            drawing.run(batch_size)
    finally:
        network.train(training)
    return drawing.samples()


@dataclass
class _Batch:
    """Crystals with ``site`` sites each.

    Attributes
    ----------
    rows
        ``(b,)`` their indices among all crystals.
    logits
        ``(b, 28)`` of their next letter.
    """

    site: int
    rows: Tensor
    logits: Tensor
    cache: Cache

    def drop(self, ended: Tensor) -> Tensor:
        """Remove the ``ended`` (bool) crystals; return the indices of the rest in their new order.

        The last ones fill the gaps, so that few keys and values are copied.
        """
        rest = torch.nonzero(~ended)[:, 0]
        gaps = torch.nonzero(ended[: len(rest)])[:, 0]
        order = torch.arange(len(rest), device=rest.device)
        order[gaps] = rest[len(rest) - len(gaps) :]
        self.rows = self.rows[order]
        self.cache.keep(order)
        return order

    @classmethod
    def join(cls, batches: Sequence["_Batch"]) -> "_Batch":
        """Merge batches that are at the same site into new memory."""
        return cls(
            site=batches[0].site,
            rows=torch.cat([batch.rows for batch in batches]),
            logits=torch.cat([batch.logits for batch in batches]),
            cache=Cache.join([batch.cache for batch in batches]),
        )


class _Drawing:
    """The crystals being sampled, as far as they have got."""

    def __init__(
        self, network: Transformer, tables: Tables, masks: Masks, group: Tensor, draw: Draw
    ) -> None:
        self.network, self.tables, self.masks, self.group = network, tables, masks, group
        self.draw = self.draw_first_element = draw
        self.settings = settings = network.settings
        shape = len(group), settings.max_sites
        self.letter, self.element = group.new_zeros(shape), group.new_zeros(shape)
        self.position = network.out.weight.new_zeros(*shape, 3)
        self.lattice = network.out.weight.new_zeros(len(group), 6)
        self.log_prob = self.lattice.new_zeros(len(group), dtype=torch.float64)

    def run(self, batch_size: int) -> None:
        """Sample all crystals, at most ``batch_size`` at once.

        A batch that has shrunk below a quarter waits until the other batches have reached the same
        site, and continues merged with what is left of them.
        """
        everyone = torch.arange(len(self.group), device=self.group.device)
        fresh = deque(torch.split(everyone, batch_size))
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
        groups = self.group.cpu().numpy()
        tokens = CrystalTokens(
            space_group=groups,
            wyckoff=self.letter.cpu().numpy(),
            element=self.element.cpu().numpy(),
            position=self.position.cpu().double().numpy(),
            lattice=constrain(groups, self.lattice.cpu().double().numpy()),
        )
        return Samples(tokens, self.log_prob.cpu().numpy())

    def _start(self, rows: Tensor) -> _Batch:
        return _Batch(
            site=0,
            rows=rows,
            logits=self.network.first_letter(self.group[rows]),
            cache=Cache(self.settings.layers, capacity=TOKENS_PER_SITE * self.settings.max_sites),
        )

    def _draw_site(self, batch: _Batch) -> None:
        """Sample one site of each crystal; a crystal at its pad gets its lattice and leaves."""
        group, letter = self.group[batch.rows], self._letter(batch)
        multiplicity = self.tables.multiplicity[group, letter]
        h = self._step(batch, self.network.letter_token(group, letter, multiplicity))
        ended = letter == 0
        if batch.site == self.settings.max_sites - 1:
            self._lattice(h, batch.rows)
        elif ended.any():
            self._lattice(h[ended], batch.rows[ended])
        if ended.any():
            h = h[batch.drop(ended)]
        if len(batch.rows):
            h = self._element(batch, h)
            for axis in range(3):
                h = self._coordinate(batch, axis, h)
            batch.logits = self.network.read(h, 0, LETTERS)
        batch.site += 1

    def _step(self, batch: _Batch, token: Tensor) -> Tensor:
        """Output ``(b, width)`` for one more token ``(b, width)``."""
        return self.network.trunk(token[:, None], batch.cache)[:, 0]

    def _letter(self, batch: _Batch) -> Tensor:
        rows, site = batch.rows, batch.site
        group, before = self.group[rows], self.letter[rows, :site]
        previous = before[:, -1] if site else torch.full_like(group, START)
        allowed = self.masks.next_letter(
            self.tables.allowed_letters[group, previous], group, before, self.element[rows, :site]
        )
        log_probs = allowed_log_probs(batch.logits, allowed)
        letter = distributions.draw_category(log_probs, self.draw)
        self.letter[rows, site] = letter
        self._add(rows, log_probs.gather(1, letter[:, None])[:, 0])
        return letter

    def _element(self, batch: _Batch, h: Tensor) -> Tensor:
        rows, site = batch.rows, batch.site
        group, letters = self.group[rows], self.letter[rows, : site + 1]
        allowed = self.masks.next_element(group, letters, self.element[rows, :site])
        log_probs = allowed_log_probs(self.network.read(h, 0, ELEMENTS), allowed)
        draw = self.draw if site else self.draw_first_element
        element = distributions.draw_category(log_probs, draw)
        self.element[rows, site] = element
        self._add(rows, log_probs.gather(1, element[:, None])[:, 0])
        return self._step(batch, self.network.element_token(group, element))

    def _coordinate(self, batch: _Batch, axis: int, h: Tensor) -> Tensor:
        """Sample x, y or z where it is free; otherwise compute it from the preceding ones."""
        rows, site = batch.rows, batch.site
        group, letter = self.group[rows], self.letter[rows, site]
        mixture = self.network.read(h, 0, coordinate_size(self.settings))
        operation = self.tables.operation[group, letter, axis]
        known = self.position[rows, site]
        value = distributions.wrap((operation[:, :3] * known).sum(1) + operation[:, 3])
        drawn = self.tables.drawn[group, letter, axis]
        if drawn.any():
            random = distributions.draw_coordinate(mixture[drawn], self.draw)
            value = value.masked_scatter(drawn, random)
        self.position[rows, site, axis] = value
        log_density = distributions.coordinate_log_density(mixture, value)
        scored = self.tables.scored[group, letter, axis]
        self._add(rows, torch.where(scored, log_density, 0.0))
        return self._step(batch, self.network.coordinate_token(group, value, axis))

    def _lattice(self, h: Tensor, rows: Tensor) -> None:
        parameters = self.network.read(h, ELEMENTS, ELEMENTS + lattice_size(self.settings))
        density = self.settings.lattice_density
        cell = distributions.draw_lattice(parameters, self.draw, density)
        free = self.tables.free_lattice[self.group[rows]]
        self.lattice[rows] = cell
        self._add(rows, distributions.lattice_log_density(parameters, cell, free, density))

    def _add(self, rows: Tensor, log_probs: Tensor) -> None:
        self.log_prob[rows] += log_probs.double()
