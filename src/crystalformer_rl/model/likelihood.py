"""ln p(crystal | space group): what may follow what, and the sum over tokens.

A Wyckoff letter never exceeds the group's highest, the first is no pad, letters do not decrease,
one without a free coordinate is not repeated, and only pads follow a pad. An element is a pad
exactly where the letter is. Probabilities are normalised over what is allowed, by these rules and
by the caller's constraints: the density is the one that is sampled from.

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
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.masks import Masks
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


def allowed_log_probs(logits: Tensor, allowed: Tensor) -> Tensor:
    """Logarithms of probabilities ``(..., n)`` over the ``allowed`` (bool, broadcast)."""
    return logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)


def log_prob(
    network: Transformer, tables: Tables, tokens: CrystalTokens, constraints: Constraints
) -> LogProb:
    """ln p of crystals, with the gradient of the network's parameters.

    Only as many sites are computed as the longest crystal has, and the letter of its pad. Under
    the caller's autocast the blocks are computed in its precision and all else in that of the
    weights: bfloat16 rounds an angle of the lattice by more than the width of a narrow component.

    Raises
    ------
    ValueError
        If a crystal has more sites than the model, or a space group, letter or element that does
        not exist; if the constraints are for another number of sites or a space group cannot obey
        them. A crystal that breaks them, or has a letter that its group does not, has ln p = −inf.
    """
    settings, device = network.settings, network.out.weight.device
    longest = _check(tokens, settings)
    masks = Masks(constraints, tokens.space_group, max_sites=settings.max_sites, device=device)
    crystals, h = encode(network, tables, tokens, longest)
    with torch.autocast(device.type, enabled=False):
        return _score(network, tables, masks, crystals, h)


def encode(
    network: Transformer, tables: Tables, tokens: CrystalTokens, longest: int
) -> tuple["Crystals", Tensor]:
    """The tokens as tensors, and the outputs ``(B, T, width)`` of the blocks.

    Computed are the ``longest`` sites, which no crystal may exceed, and the letter of the pad after
    them where the model has room for it. The caller's autocast reaches the blocks alone.
    """
    like = network.out.weight
    crystals = Crystals.of(tokens, min(longest + 1, network.settings.max_sites), like)
    with torch.autocast(like.device.type, enabled=False):
        multiplicity = tables.multiplicity[crystals.group[:, None], crystals.letter]
        embedded = network.embed(
            crystals.group, crystals.letter, multiplicity, crystals.element, crystals.position
        )
    h = network.trunk(embedded[:, : TOKENS_PER_SITE * longest + 1])
    return crystals, h.to(embedded.dtype)


def lattice_parameters(network: Transformer, crystals: "Crystals", h: Tensor) -> Tensor:
    """The lattice's mixture ``(B, 13 K)`` from the outputs of :func:`encode`.

    It is read after the letter of the pad, or of the last site where the sequence has no pad.
    """
    site = (crystals.letter > 0).sum(1).clamp_max(network.settings.max_sites - 1)
    last = h[torch.arange(len(h), device=h.device), TOKENS_PER_SITE * site]
    return network.read(last, ELEMENTS, ELEMENTS + lattice_size(network.settings))


@dataclass(frozen=True)
class Crystals:
    """The tokens of n sites as tensors: (B,), (B, n), (B, n), (B, n, 3), (B, 6)."""

    group: Tensor
    letter: Tensor
    element: Tensor
    position: Tensor
    lattice: Tensor

    @classmethod
    def of(cls, tokens: CrystalTokens, sites: int, like: Tensor) -> "Crystals":
        """Numbers on the device and in the precision of ``like``."""
        padded = tokens if tokens.max_sites >= sites else tokens.pad_to(sites)
        return cls(
            group=torch.tensor(tokens.space_group, device=like.device),
            letter=torch.tensor(padded.wyckoff[:, :sites], device=like.device),
            element=torch.tensor(padded.element[:, :sites], device=like.device),
            position=torch.tensor(padded.position[:, :sites], dtype=like.dtype, device=like.device),
            lattice=torch.tensor(tokens.lattice, dtype=like.dtype, device=like.device),
        )


def _score(
    network: Transformer, tables: Tables, masks: Masks, crystals: Crystals, h: Tensor
) -> LogProb:
    """ln p from the outputs ``h`` of the blocks: of n sites, and the letter of the pad if any."""
    settings, longest = network.settings, h.shape[1] // TOKENS_PER_SITE
    group, letter = crystals.group, crystals.letter
    column = group[:, None]
    # By site, and by the token that has just been read: W, A, X, Y or Z.
    by_site = h[:, : TOKENS_PER_SITE * longest].reshape(
        len(h), longest, TOKENS_PER_SITE, h.shape[2]
    )

    following = network.read(by_site[:, : letter.shape[1] - 1, 4], 0, LETTERS)
    letter_logits = torch.cat([network.first_letter(group)[:, None], following], dim=1)
    previous = torch.cat([torch.full_like(column, START), letter[:, :-1]], dim=1)
    letters, elements = masks.every_site(
        tables.allowed_letters[column, previous], group, letter, crystals.element
    )
    log_letter = _pick(allowed_log_probs(letter_logits, letters), letter)

    letter_here, element_here = letter[:, :longest], crystals.element[:, :longest]
    element_logits = network.read(by_site[:, :, 0], 0, ELEMENTS)
    log_element = _pick(allowed_log_probs(element_logits, elements[..., :longest, :]), element_here)
    at_pad = torch.where(element_here == 0, 0.0, -torch.inf).to(h.dtype)

    mixture = network.read(by_site[:, :, 1:4], 0, coordinate_size(settings))
    position = crystals.position[:, :longest]
    log_position = distributions.coordinate_log_density(mixture, position)
    scored = tables.scored[column, letter_here]

    log_lattice = distributions.lattice_log_density(
        lattice_parameters(network, crystals, h),
        crystals.lattice,
        tables.free_lattice[group],
        settings.lattice_density,
    )
    return LogProb(
        wyckoff=log_letter.sum(1),
        element=torch.where(letter_here > 0, log_element, at_pad).sum(1),
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
