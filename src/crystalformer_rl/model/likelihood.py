"""ln p(crystal | space group): the rules for the sequence, and the sum over tokens.

A Wyckoff letter is at most the group's highest letter. The first letter is not a pad, letters do
not decrease, a letter without a free coordinate is not repeated, and only pads follow a pad. The
element is a pad exactly where the letter is. Probabilities are normalised over the tokens that
these rules and the caller's constraints allow, so the scored density is the sampled density.

The ln p of a crystal is the sum over its letters up to the first pad, its elements, the coordinates
that are sampled, and its free lattice parameters. The lattice is read at the site after the last
one (at the last site if the sequence has no pad, as in the published code).

There are two departures from the published code; a setting restores the published form of each.
The published code scores the lattice as six mixtures but samples from one (``lattice_density``).
For a position (x, x, z) it also scores y, which it samples, discards and sets to x
(``coordinate_density``). A ratio of such scores is not the ratio of the sampled densities that
policy gradients need.
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
"""The token before the first letter."""


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
        ``(231, 29, 28)``: by the previous letter (or ``START``) and the next letter.
    operation
        ``(231, 28, 3, 4)``: affine map onto the first position of a letter.
    drawn, scored
        ``(231, 28, 3)``: coordinates that are sampled (x and z of (x, x, z)), and coordinates that
        the density includes: the sampled ones, or in the published form all that are not fixed.
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
    """Log-probabilities ``(..., n)`` normalised over the ``allowed`` tokens (bool, broadcast)."""
    return logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)


def log_prob(
    network: Transformer, tables: Tables, tokens: CrystalTokens, constraints: Constraints
) -> LogProb:
    """ln p of crystals, with the gradient of the network's parameters.

    Only the sites of the longest crystal and the letter of its pad are computed. Under the caller's
    autocast only the blocks use its precision; everything else uses the precision of the weights,
    because bfloat16 rounds a lattice angle by more than the width of a narrow component.

    Raises
    ------
    ValueError
        If a crystal has more sites than the model, or an unknown space group, letter or element; if
        the constraints are for another number of sites, or no crystal of a space group can satisfy
        them. A crystal that violates them, or has a letter that its group lacks, has ln p = −inf.
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

    The first ``longest`` sites are computed (no crystal may have more), and the letter of the pad
    after them if the model has room for it. The caller's autocast affects only the blocks.
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

    It is read after the letter of the pad, or of the last site if the sequence has no pad.
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
        """The tokens on the device and in the precision of ``like``."""
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
    """ln p from the outputs ``h`` of the blocks: n sites, and the letter of the pad if any."""
    settings, longest = network.settings, h.shape[1] // TOKENS_PER_SITE
    group, letter = crystals.group, crystals.letter
    column = group[:, None]
    # Indexed by site and by the token that was just read: W, A, X, Y or Z.
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
    at_pad = torch.zeros_like(log_element).masked_fill(element_here > 0, -torch.inf)

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
        position=log_position.masked_fill(~scored, 0.0).sum((1, 2)),
        lattice=log_lattice,
    )


def check_space_groups(space_groups: NDArray[np.int64]) -> None:
    """Raise ``ValueError`` for the first space group outside 1–230."""
    if (wrong := (space_groups < 1) | (space_groups > wyckoff.NUM_GROUPS)).any():
        index = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"space group of crystal {index} is {space_groups[index]}: must be 1 to "
            f"{wyckoff.NUM_GROUPS}"
        )


def _check(tokens: CrystalTokens, settings: ModelSettings) -> int:
    """Number of sites of the longest crystal."""
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
