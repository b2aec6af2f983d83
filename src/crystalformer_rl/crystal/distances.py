"""Distances between the atoms of a crystal, however flat or skewed the cell it is given in."""

import math
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell, edges_of, heights_of, volume_of

# Closer atoms are not a crystal: it is neither valid (CDVAE's rule) nor evaluated nor matched.
MIN_DISTANCE_ANGSTROM = 0.5
# No shortest vector takes more steps along an edge of an LLL-reduced cell.
_STEPS = np.array([step for step in product(range(-3, 4), repeat=3) if any(step)])
# Volume over the product of the edges below which numbers do not tell a cell from a plane.
_FLAT = 1e-12


def is_flat(matrix: NDArray[np.float64]) -> bool:
    """Whether the rows of ``matrix`` (3, 3) span no volume."""
    return not volume_of(matrix) > _FLAT * math.prod(edges_of(matrix))


def shortest_vector(lattice: Lattice) -> float:
    """Length of the shortest lattice vector, Å; 0 if the vectors span no volume."""
    if is_flat(lattice.matrix):
        return 0.0
    reduced = lattice.get_lll_reduced_lattice().matrix
    return float(np.linalg.norm(_STEPS @ reduced, axis=1).min())


def shorter_than(limit: float, matrix: NDArray[np.float64]) -> float | None:
    """:func:`shortest_vector` if it is below ``limit``, Å, else None; faster for ordinary cells."""
    # A lattice vector leads to another plane of at least one pair of edges.
    if not is_flat(matrix) and min(heights_of(matrix)) > limit:
        return None
    found = shortest_vector(Lattice(matrix))
    return found if found < limit else None


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


def closer_than(limit: float, cell: Cell) -> float | None:
    """:func:`min_distance` if it is below ``limit``, Å, else None; faster for ordinary cells."""
    # Where the planes are twice the limit apart no lattice vector is shorter than it, and the
    # shortest of the offsets of two atoms that are below it has no coordinate beyond a half.
    if not is_flat(cell.matrix) and min(heights_of(cell.matrix)) > 2 * limit:
        first, second = _pairs(len(cell.numbers))
        offsets = cell.positions[first] - cell.positions[second]
        vectors = (offsets - offsets.round()) @ cell.matrix
        found = float(np.sqrt((vectors * vectors).sum(axis=1).min(initial=np.inf)))
    else:
        found = min_distance(cell.structure())
    return found if found < limit else None


@lru_cache(maxsize=64)
def _pairs(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The two members of each pair of ``count`` atoms."""
    first, second = np.triu_indices(count, k=1)
    return first, second
