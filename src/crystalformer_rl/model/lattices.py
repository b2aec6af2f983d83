"""A lattice for given sites: a draw from its conditional density, without drawing the sites."""

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.crystal import lattice
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.distributions import Draw, draw_lattice
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.transformer import ELEMENTS, TOKENS_PER_SITE, lattice_size


@torch.inference_mode()
def draw_lattices(
    policy: Policy, tokens: CrystalTokens, generator: torch.Generator
) -> NDArray[np.float64]:
    """Lattices ``(B, 6)`` from their density given the sites, whatever ``tokens`` have.

    Parameters
    ----------
    generator
        On the device of the policy.
    """
    network, tables, settings = policy.network, policy.tables, policy.settings
    dtype, device = network.out.weight.dtype, network.out.weight.device
    longest = int(tokens.num_sites.max())
    padded = tokens.pad_to(min(longest + 1, settings.max_sites))
    group = torch.tensor(tokens.space_group, device=device)
    letter = torch.tensor(padded.wyckoff, device=device)
    embedded = network.embed(
        group,
        letter,
        tables.multiplicity[group[:, None], letter],
        torch.tensor(padded.element, device=device),
        torch.tensor(padded.position, dtype=dtype, device=device),
    )
    h = network.trunk(embedded[:, : TOKENS_PER_SITE * longest + 1])
    # It is read after the letter of the pad, or of the last site where the sequence has no pad.
    site = torch.tensor(tokens.num_sites, device=device).clamp_max(settings.max_sites - 1)
    last = h[torch.arange(len(h), device=device), TOKENS_PER_SITE * site]
    mixture = network.read(last, ELEMENTS, ELEMENTS + lattice_size(settings))
    drawn = draw_lattice(mixture, Draw(generator), settings.lattice_density)
    return lattice.constrain(tokens.space_group, drawn.double().cpu().numpy())
