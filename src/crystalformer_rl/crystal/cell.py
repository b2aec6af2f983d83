"""A crystal as arrays, for the code that computes with them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure


@dataclass(frozen=True)
class Cell:
    """A crystal as arrays.

    Attributes
    ----------
    matrix
        ``(3, 3)`` cell vectors as rows, Å.
    numbers
        ``(n,)`` atomic numbers.
    positions
        ``(n, 3)`` fractional coordinates.
    """

    matrix: NDArray[np.float64]
    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]

    @classmethod
    def of(cls, structure: Structure) -> "Cell":
        """The arrays of an ordered structure."""
        numbers = np.array(structure.atomic_numbers, dtype=np.int64)
        return cls(structure.lattice.matrix, numbers, structure.frac_coords)

    def structure(self) -> Structure:
        """The same as a pymatgen structure."""
        return Structure(Lattice(self.matrix), self.numbers.tolist(), self.positions)
