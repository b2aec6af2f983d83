"""Relaxation at fixed space group: projection of forces and stress.

The symmetric part of the forces is their mean over the operations of the space group, each of which
rotates the vectors and permutes the atoms. A step along it never lowers the space group. ASE's
``FixSymmetry`` works in the same way.
"""

import numpy as np
import spglib
from numpy.typing import NDArray

from crystalformer_rl.crystal.cell import Cell

Array = NDArray[np.float64]


class Symmetry:
    """Space-group operations of a crystal, valid as long as it moves along :meth:`project`.

    Parameters
    ----------
    crystal
        In any cell; deviations below ``symprec`` are not removed.
    symprec
        Tolerance of spglib, Å.

    Raises
    ------
    ValueError
        If spglib finds no operation, not even the identity.

    Attributes
    ----------
    rotations
        (g, 3, 3) W of the operations x → W x + t on column vectors of fractional coordinates.
    images
        (g, n) index of the atom onto which each atom is mapped.
    """

    def __init__(self, crystal: Cell, *, symprec: float = 0.01) -> None:
        matrix, positions, numbers = crystal.matrix, crystal.positions, crystal.numbers
        found = spglib.get_symmetry((matrix, positions, numbers), symprec)
        if found is None:
            raise ValueError(
                f"spglib finds no symmetry of {crystal.composition.reduced_formula} at "
                f"{symprec:g} Å"
            )
        self.rotations: NDArray[np.int64] = np.asarray(found["rotations"], dtype=np.int64)
        moved = np.einsum("gab,nb->gna", self.rotations, positions)
        moved += np.asarray(found["translations"])[:, None]
        self.images = np.stack([_images(one, positions, numbers, matrix) for one in moved])

    def project(self, cell: Array, forces: Array, stress: Array) -> tuple[Array, Array]:
        """The symmetric part of forces (n, 3) and stress (3, 3), in any unit.

        Parameters
        ----------
        cell
            (3, 3) current lattice vectors in rows, Å.
        """
        rotations = cell.T @ self.rotations @ np.linalg.inv(cell.T)
        rotated = np.einsum("gab,nb->gna", rotations, forces)
        symmetric = np.zeros_like(forces)
        np.add.at(symmetric, self.images, rotated)
        mean = (rotations @ stress @ rotations.transpose(0, 2, 1)).mean(axis=0)
        return symmetric / len(rotations), np.asarray(mean)


def _images(
    moved: Array, positions: Array, numbers: NDArray[np.int64], cell: Array
) -> NDArray[np.int64]:
    """Index of the nearest atom of the same element, for each moved atom."""
    apart = moved[:, None] - positions
    distances = np.linalg.norm((apart - np.round(apart)) @ cell, axis=-1)
    distances[numbers[:, None] != numbers] = np.inf
    return np.asarray(distances.argmin(axis=1))
