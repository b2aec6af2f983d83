"""A straightforward PyTorch CrystalFormer to measure against.

The same weights and mathematics as the model's, written the plain way: every crystal is padded to
the longest sequence, attention is two products and a softmax, and each token of a sample runs the
whole padded sequence, as in the published code.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from crystalformer_rl.model import distributions
from crystalformer_rl.model.distributions import Draw
from crystalformer_rl.model.likelihood import START, Tables
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.transformer import (
    ELEMENTS,
    LETTERS,
    Transformer,
    coordinate_size,
    lattice_size,
)

Crystals = dict[str, Tensor]


def outputs(network: Transformer, tables: Tables, crystals: Crystals) -> Tensor:
    """``(B, 5 n, width)`` of crystals padded to n sites: group, letter, element, position."""
    group, letter = crystals["group"], crystals["letter"]
    multiplicity = tables.multiplicity[group[:, None], letter]
    h = network.embed(group, letter, multiplicity, crystals["element"], crystals["position"])
    length = h.shape[1]
    future = torch.full((length, length), -torch.inf, device=h.device).triu(1)
    for block in network.blocks:
        mixed = block.query_key_value(block.attention_norm(h))
        query, key, value = mixed.view(*h.shape[:2], 3, block.heads, -1).permute(2, 0, 3, 1, 4)
        query, key = _rotate(query, network), _rotate(key, network)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + future
        seen = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        h = h + block.dropout(block.attention_out(seen))
        hidden = functional.gelu(block.mlp_in(block.mlp_norm(h)), approximate="tanh")
        h = h + block.dropout(block.mlp_out(hidden))
    normed: Tensor = network.norm(h)
    return normed


def log_prob(policy: Policy, crystals: Crystals) -> Tensor:
    """ln p of crystals ``(B,)``."""
    network, tables, settings = policy.network, policy.tables, policy.settings
    group, letter, element = crystals["group"], crystals["letter"], crystals["element"]
    h = network.out(outputs(network, tables, crystals)).unflatten(1, (-1, 5))
    column = group[:, None]
    logits = torch.cat([network.first_letter(group)[:, None], h[:, :-1, 4, :LETTERS]], dim=1)
    previous = torch.cat([torch.full_like(column, START), letter[:, :-1]], dim=1)
    allowed = tables.allowed_letters[column, previous]
    letters = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
    chosen = letters.gather(-1, letter[..., None])[..., 0].sum(1)
    elements = h[:, :, 0, 1:ELEMENTS].log_softmax(-1)
    of_element = elements.gather(-1, (element - 1).clamp_min(0)[..., None])[..., 0]
    mixtures = h[:, :, 1:4, : coordinate_size(settings)]
    position = distributions.coordinate_log_density(mixtures, crystals["position"])
    scored = tables.scored[column, letter]
    last = (letter > 0).sum(1).clamp_max(settings.max_sites - 1)
    lattice = distributions.lattice_log_density(
        h[torch.arange(len(h)), last, 0, ELEMENTS : ELEMENTS + lattice_size(settings)],
        crystals["lattice"],
        tables.free_lattice[group],
        settings.lattice_density,
    )
    chosen = chosen + torch.where(letter > 0, of_element, 0.0).sum(1)
    return chosen + torch.where(scored, position, 0.0).sum((1, 2)) + lattice


@torch.inference_mode()
def sample(policy: Policy, group: Tensor, *, seed: int) -> Crystals:
    """Crystals of the space groups ``(B,)``; lattices are drawn and thrown away."""
    network, tables, settings = policy.network, policy.tables, policy.settings
    draw = Draw(torch.Generator(device=group.device).manual_seed(seed))
    count, sites = len(group), settings.max_sites
    crystals: Crystals = {
        "group": group,
        "letter": group.new_zeros(count, sites),
        "element": group.new_zeros(count, sites),
        "position": torch.zeros(count, sites, 3, device=group.device),
    }
    letter, position = crystals["letter"], crystals["position"]
    logits, previous = network.first_letter(group), torch.full_like(group, START)
    for site in range(sites):
        allowed = tables.allowed_letters[group, previous]
        previous = distributions.draw_category(logits.masked_fill(~allowed, -torch.inf), draw)
        letter[:, site] = previous
        h = network.out(outputs(network, tables, crystals)[:, 5 * site])
        element = 1 + distributions.draw_category(h[:, 1:ELEMENTS], draw)
        crystals["element"][:, site] = torch.where(previous > 0, element, 0)
        lattice = h[:, ELEMENTS : ELEMENTS + lattice_size(settings)]
        distributions.draw_lattice(lattice, draw, settings.lattice_density)
        for axis in range(3):
            h = network.out(outputs(network, tables, crystals)[:, 5 * site + axis + 1])
            value = distributions.draw_coordinate(h[:, : coordinate_size(settings)], draw)
            operation = tables.operation[group, previous, axis]
            known = (operation[:, :3] * position[:, site]).sum(1) + operation[:, 3]
            drawn = tables.drawn[group, previous, axis]
            position[:, site, axis] = torch.where(drawn, value, distributions.wrap(known))
        logits = network.out(outputs(network, tables, crystals)[:, 5 * site + 4])[:, :LETTERS]
    return crystals


def _rotate(x: Tensor, network: Transformer) -> Tensor:
    cosine, sine = network.rotation[: x.shape[2]].unbind(-1)
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return torch.stack(turned, dim=-1).flatten(-2)
