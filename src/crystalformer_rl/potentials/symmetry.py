"""The symmetry of a crystal under relaxation, kept by projecting forces and stress.

The symmetric part of a force is the mean over the space group's operations, each of which turns
the vectors and moves them from atom to atom. Steps along it never lower the space group. ASE's
``FixSymmetry`` does the same.
"""

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Structure

Array = NDArray[np.float64]


class Symmetry:
    """Space-group operations of one crystal, valid while it moves along what :meth:`project` gives.

    Parameters
    ----------
    structure
        Its cell may be any; deviations below ``symprec`` are not removed.
    symprec
        Tolerance of spglib, Å.

    Raises
    ------
    ValueError
        If spglib finds no operation, not even the identity.

    Attributes
    ----------
    rotations
        (g, 3, 3) of the operations x → W x + t on columns of fractional coordinates.
    images
        (g, n) atom onto which each atom is moved.
    """

    def __init__(self, structure: Structure, *, symprec: float = 0.01) -> None:
        positions, numbers = structure.frac_coords, np.array(structure.atomic_numbers)
        found = spglib.get_symmetry((structure.lattice.matrix, positions, numbers), symprec)
        if found is None:
            raise ValueError(
                f"spglib finds no symmetry of {structure.composition.reduced_formula} at "
                f"{symprec:g} Å"
            )
        self.rotations: NDArray[np.int64] = np.asarray(found["rotations"], dtype=np.int64)
        moved = np.einsum("gab,nb->gna", self.rotations, positions)
        moved += np.asarray(found["translations"])[:, None]
        self.images = np.stack(
            [_images(one, positions, numbers, structure.lattice.matrix) for one in moved]
        )

    def project(self, cell: Array, forces: Array, stress: Array) -> tuple[Array, Array]:
        """The symmetric part of forces (n, 3) and stress (3, 3), of any unit.

        Parameters
        ----------
        cell
            (3, 3) present lattice vectors in rows, Å.
        """
        turns = cell.T @ self.rotations @ np.linalg.inv(cell.T)
        turned = np.einsum("gab,nb->gna", turns, forces)
        symmetric = np.zeros_like(forces)
        np.add.at(symmetric, self.images, turned)
        mean = (turns @ stress @ turns.transpose(0, 2, 1)).mean(axis=0)
        return symmetric / len(turns), np.asarray(mean)


def _images(
    moved: Array, positions: Array, numbers: NDArray[np.int64], cell: Array
) -> NDArray[np.int64]:
    """Of each moved atom the nearest of its own element."""
    apart = moved[:, None] - positions
    distances = np.linalg.norm((apart - np.round(apart)) @ cell, axis=-1)
    distances[numbers[:, None] != numbers] = np.inf
    return np.asarray(distances.argmin(axis=1))
