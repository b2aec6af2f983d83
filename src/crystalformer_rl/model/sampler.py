"""Draws crystals token by token, with a cache of keys and values.

All crystals of a batch are at the same token. One that has drawn its pad letter draws its lattice
there and leaves the batch, so the work is that of the tokens drawn and no more. (The published
sampler runs the whole padded sequence for each token.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystalformer_rl.crystal.lattice import constrain
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model import distributions
from crystalformer_rl.model.distributions import Draw
from crystalformer_rl.model.likelihood import (
    START,
    Tables,
    allowed_elements,
    check_space_groups,
    element_log_probs,
    letter_log_probs,
)
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

    ln p is that of the policy with the allowed elements: what ``log_prob`` gives. Temperature and
    nucleus change what is drawn and not what is reported.
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
    elements: NDArray[np.bool_] | None = None,
    batch_size: int = 512,
) -> Samples:
    """One crystal per space group, in their order.

    The same arguments give the same crystals on the same kind of device.

    Parameters
    ----------
    space_groups
        ``(B,)`` 1–230.
    temperature, top_p
        As the published sampler, see :mod:`crystalformer_rl.model.distributions`.
    elements
        Allowed elements, ``(119,)`` or ``(max_sites, 119)`` bool by atomic number, or None.
    batch_size
        Crystals drawn at once; bounds the memory of the cache.

    Raises
    ------
    ValueError
        If there is nothing to draw, a space group is not 1–230, ``temperature`` is not positive,
        ``top_p`` not in (0, 1], or no element is allowed.
    """
    groups = np.asarray(space_groups, dtype=np.int64)
    if groups.ndim != 1 or len(groups) == 0:
        raise ValueError(f"space_groups must be a list of at least one, got shape {groups.shape}")
    check_space_groups(groups)
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")
    device = network.out.weight.device
    allowed = allowed_elements(elements, max_sites=network.settings.max_sites, device=device)
    generator = torch.Generator(device=device).manual_seed(seed)
    draw = Draw(generator, temperature, top_p)
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            parts = [
                _Batch(network, tables, torch.tensor(part, device=device), allowed, draw).run()
                for part in _cut(groups, batch_size)
            ]
    finally:
        network.train(training)
    return Samples(
        tokens=CrystalTokens.concatenate([part.tokens for part in parts]),
        log_prob=np.concatenate([part.log_prob for part in parts]),
    )


class _Batch:
    """Crystals that are drawn together; ``rows`` are those without a pad so far."""

    def __init__(
        self, network: Transformer, tables: Tables, group: Tensor, allowed: Tensor, draw: Draw
    ) -> None:
        self.network, self.tables, self.allowed, self.draw = network, tables, allowed, draw
        self.settings = settings = network.settings
        self.cache = Cache(settings.layers, capacity=TOKENS_PER_SITE * settings.max_sites)
        self.all_groups, self.group = group, group
        self.rows = torch.arange(len(group), device=group.device)
        shape, dtype = (len(group), settings.max_sites), network.out.weight.dtype
        self.letter = group.new_zeros(shape)
        self.element = group.new_zeros(shape)
        self.position = torch.zeros(*shape, 3, dtype=dtype, device=group.device)
        self.lattice = torch.zeros(len(group), 6, dtype=dtype, device=group.device)
        self.log_prob = torch.zeros(len(group), dtype=torch.float64, device=group.device)

    def run(self) -> Samples:
        logits = self.network.first_letter(self.group)
        previous = torch.full_like(self.group, START)
        for site in range(self.settings.max_sites):
            letter = self._letter(site, logits, previous)
            multiplicity = self.tables.multiplicity[self.group, letter]
            h = self._step(self.network.letter_token(self.group, letter, multiplicity))
            ended = letter == 0
            if site == self.settings.max_sites - 1:
                self._lattice(h, self.rows)
            elif ended.any():
                self._lattice(h[ended], self.rows[ended])
            if ended.all():
                break
            if ended.any():
                kept = torch.nonzero(~ended)[:, 0]
                letter, h = letter[kept], h[kept]
                self.rows, self.group = self.rows[kept], self.group[kept]
                self.cache.keep(kept)
            h = self._element(site, h)
            for axis in range(3):
                h = self._coordinate(site, axis, letter, h)
            logits, previous = self.network.read(h, 0, LETTERS), letter
        return Samples(self._tokens(), self.log_prob.cpu().numpy())

    def _step(self, token: Tensor) -> Tensor:
        """Feed one token ``(b, width)``; its output ``(b, width)``."""
        return self.network.trunk(token[:, None], self.cache)[:, 0]

    def _letter(self, site: int, logits: Tensor, previous: Tensor) -> Tensor:
        log_probs = letter_log_probs(logits, self.tables, self.group, previous)
        letter = distributions.draw_category(log_probs, self.draw)
        self.letter[self.rows, site] = letter
        self._add(log_probs.gather(1, letter[:, None])[:, 0])
        return letter

    def _element(self, site: int, h: Tensor) -> Tensor:
        log_probs = element_log_probs(self.network.read(h, 0, ELEMENTS), self.allowed[site])
        element = distributions.draw_category(log_probs, self.draw)
        self.element[self.rows, site] = element
        self._add(log_probs.gather(1, element[:, None])[:, 0])
        return self._step(self.network.element_token(self.group, element))

    def _coordinate(self, site: int, axis: int, letter: Tensor, h: Tensor) -> Tensor:
        """Draw x, y or z where it is free; elsewhere it follows from those before it."""
        mixture = self.network.read(h, 0, coordinate_size(self.settings))
        operation = self.tables.operation[self.group, letter, axis]
        known = self.position[self.rows, site]
        value = distributions.wrap((operation[:, :3] * known).sum(1) + operation[:, 3])
        drawn = self.tables.drawn[self.group, letter, axis]
        if drawn.any():
            random = distributions.draw_coordinate(mixture[drawn], self.draw)
            value = value.masked_scatter(drawn, random)
        self.position[self.rows, site, axis] = value
        log_density = distributions.coordinate_log_density(mixture, value)
        scored = self.tables.scored[self.group, letter, axis]
        self._add(torch.where(scored, log_density, 0.0))
        return self._step(self.network.coordinate_token(self.group, value, axis))

    def _lattice(self, h: Tensor, rows: Tensor) -> None:
        parameters = self.network.read(h, ELEMENTS, ELEMENTS + lattice_size(self.settings))
        density, groups = self.settings.lattice_density, self.all_groups[rows]
        cell = distributions.draw_lattice(parameters, self.draw, density)
        free = self.tables.free_lattice[groups]
        log_density = distributions.lattice_log_density(parameters, cell, free, density)
        self.lattice[rows] = cell
        self.log_prob[rows] += log_density.double()

    def _add(self, log_probs: Tensor) -> None:
        self.log_prob[self.rows] += log_probs.double()

    def _tokens(self) -> CrystalTokens:
        """The crystals, with the lattice parameters that symmetry fixes set."""
        groups = self.all_groups.cpu().numpy()
        cell = self.lattice.cpu().double().numpy()
        return CrystalTokens(
            space_group=groups,
            wyckoff=self.letter.cpu().numpy(),
            element=self.element.cpu().numpy(),
            position=self.position.cpu().double().numpy(),
            lattice=constrain(groups, cell),
        )


def _cut(groups: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(groups), size):
        yield groups[start : start + size]
