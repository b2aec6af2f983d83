"""Shortest distances, in cells of any shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.distances import closer_than, min_distance, shortest_vector

SALT = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def tilted(edge: float, volume: float) -> Lattice:
    """Three vectors at almost 120° to each other: they span much, and no edge is short."""
    height = volume / (edge * edge * 3**0.5 / 2)
    x, y = -edge / 2, edge * 3**0.5 / 2
    return Lattice([[edge, 0, 0], [x, y, 0], [x, -y, height]])


def in_another_basis(structure: Structure, matrix: np.ndarray) -> Structure:
    lattice = Lattice(matrix @ structure.lattice.matrix)
    return Structure(lattice, structure.species, structure.cart_coords, coords_are_cartesian=True)


def test_own_images_count() -> None:
    """One atom in a needle of a cell: its neighbour is itself."""
    needle = Structure(Lattice.orthorhombic(0.45, 5, 5), ["Cu"], [[0, 0, 0]])
    assert min_distance(needle) == pytest.approx(0.45)


def test_skewed_cells() -> None:
    single = Structure(Lattice([[3, 0, 0], [14.9, 0.6, 0], [7, 2, 9]]), ["Cu"], [[0, 0, 0]])
    steps = np.array(np.meshgrid(*[range(-16, 17)] * 3)).reshape(3, -1).T
    lengths = np.linalg.norm(steps @ single.lattice.matrix, axis=1)
    assert min_distance(single) == pytest.approx(lengths[lengths > 0].min())


@settings(max_examples=40)
@given(st.lists(st.tuples(st.permutations(range(3)), st.integers(-9, 9)), max_size=6))
def test_distances_do_not_depend_on_the_basis(shears: list[tuple[list[int], int]]) -> None:
    matrix = np.eye(3, dtype=int)
    for (to, by, _), times in shears:
        matrix[to] += times * matrix[by]
    skewed = in_another_basis(SALT, matrix)
    assert shortest_vector(skewed.lattice) == pytest.approx(3.5, rel=1e-6)
    assert min_distance(skewed) == pytest.approx(3.5 * 0.75**0.5, rel=1e-6)
    assert closer_than(3, Cell.of(skewed)) is None
    assert closer_than(3.1, Cell.of(skewed)) == pytest.approx(3.5 * 0.75**0.5, rel=1e-6)


@pytest.mark.parametrize("edge", [40, 99])
@pytest.mark.parametrize("volume", [1.5, 6])
def test_a_flat_cell_takes_no_time(edge: float, volume: float) -> None:
    """A list of its neighbours within 0.5 Å looked at cells for minutes."""
    flat = Structure(tilted(edge, volume), ["Na"], [[0, 0, 0]])
    height = volume / (edge * edge * 3**0.5 / 2)
    assert min_distance(flat) == pytest.approx(height)
    assert closer_than(0.5, Cell.of(flat)) == pytest.approx(height)


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.ones((3, 3)), np.full((3, 3), np.nan)])
def test_no_volume_is_no_distance(matrix: np.ndarray) -> None:
    assert shortest_vector(Lattice(matrix)) == 0
    assert min_distance(Structure(Lattice(matrix), ["Na"], [[0, 0, 0]])) == 0
    assert shortest_vector(tilted(300, 1e-200)) == 0
