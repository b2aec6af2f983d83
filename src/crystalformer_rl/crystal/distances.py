"""Distances between the atoms of a crystal, however flat or skewed the cell it is given in."""

from itertools import product

import numpy as np
from pymatgen.core import Lattice, Structure

# Closer atoms are not a crystal: it is neither valid (CDVAE's rule) nor evaluated nor matched.
MIN_DISTANCE_ANGSTROM = 0.5
# No shortest vector takes more steps along an edge of an LLL-reduced cell.
_STEPS = np.array([step for step in product(range(-3, 4), repeat=3) if any(step)])
# Volume over the product of the edges below which numbers do not tell a cell from a plane.
_FLAT = 1e-12


def shortest_vector(lattice: Lattice) -> float:
    """Length of the shortest lattice vector, Å; 0 if the vectors span no volume."""
    if not lattice.volume > _FLAT * np.prod(lattice.abc):
        return 0.0
    reduced = lattice.get_lll_reduced_lattice().matrix
    return float(np.linalg.norm(_STEPS @ reduced, axis=1).min())


def min_distance(structure: Structure) -> float:
    """Shortest distance between two atoms, Å, periodic and own images included.

    0 if the lattice vectors span no volume.
    """
    lattice, positions = structure.lattice, structure.frac_coords
    shortest = shortest_vector(lattice)
    if not shortest:
        return 0.0
    distances = lattice.get_all_distances(positions, positions)
    np.fill_diagonal(distances, shortest)
    return float(distances.min(initial=shortest))


def closer_than(limit: float, structure: Structure) -> float | None:
    """:func:`min_distance` if it is below ``limit``, Å, else None; faster for ordinary cells."""
    # A step along an edge leads to the next plane of the other two. Where planes are further apart
    # than the limit no vector is shorter, and a list of neighbours ends within the next cells.
    if limit * np.linalg.norm(structure.lattice.inv_matrix, axis=0).max() < 1:
        distances = structure.get_neighbor_list(r=limit)[3]
        return float(distances.min()) if len(distances) else None
    found = min_distance(structure)
    return found if found < limit else None
