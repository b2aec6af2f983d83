"""ln p(crystal | space group): what may follow what, and the sum over tokens.

A Wyckoff letter never exceeds the group's highest, the first is no pad, letters do not decrease,
one without a free coordinate is not repeated, and only pads follow a pad. An element is a pad
exactly where the letter is. Probabilities are normalised over what is allowed, including the
elements that the caller allows: the density is the one that is sampled from.

A crystal's ln p is the sum over its letters up to the first pad, its elements, the coordinates that
are drawn, and its free lattice parameters, read at the site after the last one (at the last site
where the sequence has no pad, as in the published code).

Two things depart from the published code, each with a setting that brings its form back. It scores
the lattice as six mixtures though it draws from one (``lattice_density``). And of (x, x, z) it
scores y too, which it draws, throws away and sets to x (``coordinate_density``); a ratio of such
scores is not a ratio of the densities that crystals are drawn from, which policy gradients need.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystalformer_rl.config import ModelSettings
from crystalformer_rl.crystal import lattice, wyckoff
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model import distributions
from crystalformer_rl.model.transformer import (
    ELEMENTS,
    LETTERS,
    TOKENS_PER_SITE,
    Transformer,
    coordinate_size,
    lattice_size,
)

START = LETTERS
"""Stands for the letter before the first."""


@dataclass(frozen=True)
class LogProb:
    """ln p of each crystal in four parts, ``(B,)`` each."""

    wyckoff: Tensor
    element: Tensor
    position: Tensor
    lattice: Tensor

    @property
    def total(self) -> Tensor:
        """ln p of the crystal given its space group, ``(B,)``."""
        return self.wyckoff + self.element + self.position + self.lattice


class Tables(nn.Module):
    """Symmetry of the 230 groups as tensors, indexed by space group first (0 unused).

    Attributes
    ----------
    multiplicity
        ``(231, 28)``.
    allowed_letters
        ``(231, 29, 28)``: by the previous letter, or ``START``, and the next.
    operation
        ``(231, 28, 3, 4)``: affine map onto the first position of a letter.
    drawn, scored
        ``(231, 28, 3)``: coordinates that are drawn at random (x alone of (x, x, z)), and those
        that the density counts: the drawn ones, or in the published form all that are not fixed.
    free_lattice
        ``(231, 6)``.
    """

    multiplicity: Tensor
    allowed_letters: Tensor
    operation: Tensor
    drawn: Tensor
    scored: Tensor
    free_lattice: Tensor

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        operation = wyckoff.first_operations()
        drawn = (operation == np.eye(3, 4)).all(axis=-1)
        published = settings.coordinate_density == "published"
        tables: dict[str, NDArray[np.generic]] = {
            "multiplicity": wyckoff.multiplicities(),
            "allowed_letters": _allowed_letters(),
            "operation": operation.astype(np.float32),
            "drawn": drawn,
            "scored": wyckoff.free_coordinates() if published else drawn,
            "free_lattice": lattice.free_parameters(),
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.tensor(table), persistent=False)


def letter_log_probs(logits: Tensor, tables: Tables, group: Tensor, previous: Tensor) -> Tensor:
    """Normalised ``(..., 28)`` from logits, the space group and the letter before, ``(...)``."""
    allowed = tables.allowed_letters[group, previous]
    return logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)


def element_log_probs(logits: Tensor, elements: Tensor) -> Tensor:
    """Normalised ``(..., 119)`` of a real site; ``elements`` (bool, broadcast) are allowed."""
    return logits.masked_fill(~elements, -torch.inf).log_softmax(-1)


def allowed_elements(
    elements: NDArray[np.bool_] | None, *, max_sites: int, device: torch.device
) -> Tensor:
    """The mask ``(max_sites, 119)`` by site and atomic number, pad (0) never allowed.

    Parameters
    ----------
    elements
        ``(119,)`` or ``(max_sites, 119)`` bool by atomic number, or None for all; entry 0 is
        ignored.

    Raises
    ------
    ValueError
        If the shape or type is another, or a site has no element left.
    """
    if elements is None:
        elements = np.ones(ELEMENTS, dtype=np.bool_)
    mask = np.asarray(elements)
    if mask.dtype != np.bool_ or mask.shape not in ((ELEMENTS,), (max_sites, ELEMENTS)):
        raise ValueError(
            f"allowed elements must be bool of shape ({ELEMENTS},) or ({max_sites}, {ELEMENTS}), "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    mask = np.broadcast_to(mask, (max_sites, ELEMENTS)).copy()
    mask[:, 0] = False
    if not mask.any(axis=1).all():
        raise ValueError("allowed elements: at least one of 1 to 118 must be allowed at every site")
    return torch.tensor(mask, device=device)


def log_prob(
    network: Transformer,
    tables: Tables,
    tokens: CrystalTokens,
    elements: NDArray[np.bool_] | None = None,
) -> LogProb:
    """ln p of crystals, with the gradient of the network's parameters.

    Only as many sites are computed as the longest crystal has, and the letter of its pad.

    Parameters
    ----------
    elements
        As for :func:`allowed_elements`.

    Raises
    ------
    ValueError
        If a crystal has more sites than the model, or a space group, letter or element that does
        not exist. A letter that the group does not have, or an element that is not allowed, has
        ln p = −inf.
    """
    settings = network.settings
    dtype, device = network.out.weight.dtype, network.out.weight.device
    longest = _check(tokens, settings)
    sites = min(longest + 1, settings.max_sites)
    group = torch.tensor(tokens.space_group, device=device)
    padded = tokens if tokens.max_sites >= sites else tokens.pad_to(sites)
    letter = torch.tensor(padded.wyckoff[:, :sites], device=device)
    element = torch.tensor(padded.element[:, :sites], device=device)
    position = torch.tensor(padded.position[:, :sites], dtype=dtype, device=device)
    cell = torch.tensor(tokens.lattice, dtype=dtype, device=device)

    column = group[:, None]
    embedded = network.embed(group, letter, tables.multiplicity[column, letter], element, position)
    h = network.trunk(embedded[:, : TOKENS_PER_SITE * longest + 1])
    # By site, and by the token that has just been read: W, A, X, Y or Z.
    by_site = h[:, : TOKENS_PER_SITE * longest].reshape(
        len(h), longest, TOKENS_PER_SITE, h.shape[2]
    )

    following = network.read(by_site[:, : sites - 1, 4], 0, LETTERS)
    letter_logits = torch.cat([network.first_letter(group)[:, None], following], dim=1)
    previous = torch.cat([torch.full_like(column, START), letter[:, :-1]], dim=1)
    log_letter = letter_log_probs(letter_logits, tables, column, previous)

    letter_here, element_here = letter[:, :longest], element[:, :longest]
    allowed = allowed_elements(elements, max_sites=settings.max_sites, device=device)[:longest]
    log_element = element_log_probs(network.read(by_site[:, :, 0], 0, ELEMENTS), allowed)
    at_pad = torch.where(element_here == 0, 0.0, -torch.inf).to(dtype)
    log_element = torch.where(letter_here > 0, _pick(log_element, element_here), at_pad)

    mixture = network.read(by_site[:, :, 1:4], 0, coordinate_size(settings))
    log_position = distributions.coordinate_log_density(mixture, position[:, :longest])
    scored = tables.scored[column, letter_here]

    read_out = TOKENS_PER_SITE * (letter > 0).sum(1).clamp_max(settings.max_sites - 1)
    last = h[torch.arange(len(h), device=device), read_out]
    log_lattice = distributions.lattice_log_density(
        network.read(last, ELEMENTS, ELEMENTS + lattice_size(settings)),
        cell,
        tables.free_lattice[group],
        settings.lattice_density,
    )
    return LogProb(
        wyckoff=_pick(log_letter, letter).sum(1),
        element=log_element.sum(1),
        position=torch.where(scored, log_position, 0.0).sum((1, 2)),
        lattice=log_lattice,
    )


def check_space_groups(space_groups: NDArray[np.int64]) -> None:
    """Raise ``ValueError`` naming the first that is not 1–230."""
    if (wrong := (space_groups < 1) | (space_groups > wyckoff.NUM_GROUPS)).any():
        index = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"space group of crystal {index} is {space_groups[index]}: must be 1 to "
            f"{wyckoff.NUM_GROUPS}"
        )


def _check(tokens: CrystalTokens, settings: ModelSettings) -> int:
    """Sites up to the last of the longest crystal."""
    check_space_groups(tokens.space_group)
    for name, limit in (("wyckoff", LETTERS), ("element", ELEMENTS)):
        values = getattr(tokens, name)
        if (wrong := (values < 0) | (values >= limit)).any():
            index = int(np.flatnonzero(wrong.any(axis=1))[0])
            raise ValueError(
                f"{name} of crystal {index} is {values[wrong][0]}: must be 0 to {limit - 1}"
            )
    used = np.arange(1, tokens.max_sites + 1) * ((tokens.wyckoff > 0) | (tokens.element > 0))
    longest = int(used.max(initial=0))
    if longest > settings.max_sites:
        index = int(used.max(axis=1).argmax())
        raise ValueError(
            f"crystal {index} has {longest} sites; the model takes {settings.max_sites}"
        )
    return longest


def _pick(log_probs: Tensor, index: Tensor) -> Tensor:
    return log_probs.gather(-1, index[..., None])[..., 0]


def _allowed_letters() -> NDArray[np.bool_]:
    highest = wyckoff.max_letter()[:, None, None]
    previous, following = np.arange(LETTERS + 1)[:, None], np.arange(LETTERS)
    freedom = np.zeros((len(highest), LETTERS + 1, 1), dtype=np.bool_)
    freedom[:, :LETTERS, 0] = wyckoff.has_freedom()
    later = np.where(freedom, following >= previous, following > previous)
    allowed: NDArray[np.bool_] = (following == 0) | (later & (following <= highest))
    allowed[:, 0] = following == 0
    allowed[:, START] = (following >= 1) & (following <= highest[:, 0])
    return allowed
