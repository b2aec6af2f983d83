"""The digest of a crystal: the same for the same cell with the same atoms in the same order."""

import hashlib
from typing import Any

import numpy as np

DECIMALS = 8


def cell_digest(lattice: Any, numbers: Any, positions: Any) -> bytes:
    """sha256 of species, lattice vectors and wrapped fractional coordinates.

    Two crystals have the same digest if their lattice vectors and coordinates agree to 1e-8 and
    their atoms have the same order.

    Parameters
    ----------
    lattice
        (3, 3) or (9,) lattice vectors as rows, Å.
    numbers
        (n,) atomic numbers.
    positions
        (n, 3) or (3n,) fractional coordinates.
    """
    wrapped = np.round(np.asarray(positions, dtype=np.float64) % 1, DECIMALS) % 1
    atoms = np.asarray(numbers, dtype=np.int64)
    # Adding zero turns −0.0 into 0.0, so that both have the same bytes.
    vectors = np.round(np.asarray(lattice, dtype=np.float64), DECIMALS) + 0.0
    return hashlib.sha256(atoms.tobytes() + vectors.tobytes() + wrapped.tobytes()).digest()
