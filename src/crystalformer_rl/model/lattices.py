"""A lattice for given sites: a draw from its conditional density, without drawing the sites."""

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.crystal import lattice
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.distributions import Draw, draw_lattice
from crystalformer_rl.model.likelihood import encode, lattice_parameters
from crystalformer_rl.model.policy import Policy


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
    network = policy.network
    crystals, h = encode(network, policy.tables, tokens, int(tokens.num_sites.max()))
    mixture = lattice_parameters(network, crystals, h)
    drawn = draw_lattice(mixture, Draw(generator), policy.settings.lattice_density)
    return lattice.constrain(tokens.space_group, drawn.double().cpu().numpy())
