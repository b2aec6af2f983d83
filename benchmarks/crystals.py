"""Random crystals for the benchmarks."""

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal.tokens import CrystalTokens


def random_crystals(sites: NDArray[np.int64]) -> CrystalTokens:
    """Crystals of space group 1 with so many sites each."""
    generator = np.random.default_rng(0)
    real = np.arange(int(sites.max())) < sites[:, None]
    return CrystalTokens(
        space_group=np.ones(len(sites)),
        wyckoff=real.astype(np.int64),
        element=generator.integers(1, 100, real.shape) * real,
        position=generator.random((*real.shape, 3)) * real[..., None],
        lattice=np.tile([1.8, 1.8, 1.8, 1.57, 1.57, 1.57], (len(sites), 1)),
    )
