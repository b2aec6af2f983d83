"""Average minimum distances, against pymatgen's neighbours and known lattices."""

import numpy as np
import pytest
from helpers.crystals import rock_salt
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.evaluation.amd import amd, amd_table, nearest

ODD = Structure(
    Lattice.from_parameters(4.1, 5.3, 7.7, 71, 98, 112),
    ["Na", "Cl", "O"],
    [[0.9, -0.3, 0.2], [0.4, 1.7, 0.6], [0.1, 0.2, 0.95]],
)


def test_the_square_lattice_of_the_paper_in_three_dimensions() -> None:
    """Neighbours of a simple cubic lattice: 6 at a, 12 at √2 a, 8 at √3 a."""
    found = amd(Cell.of(Structure(Lattice.cubic(2), ["Po"], [[0, 0, 0]])), neighbours=26)
    assert found == pytest.approx([2.0] * 6 + [8**0.5] * 12 + [12**0.5] * 8)


@pytest.mark.parametrize("structure", [ODD, rock_salt()])
def test_equals_the_neighbours_that_pymatgen_finds(structure: Structure) -> None:
    shells = [
        sorted(one.nn_distance for one in structure.get_neighbors(site, 12.0))[:60]
        for site in structure
    ]
    assert amd(Cell.of(structure), neighbours=60) == pytest.approx(np.mean(shells, axis=0))


def test_does_not_depend_on_the_cell_the_origin_or_the_elements() -> None:
    first = amd(Cell.of(ODD))
    moved = ODD.copy().translate_sites([0, 1, 2], [0.3, 0.1, -0.4])
    skewed = Structure(
        Lattice(np.array([[1, 0, 0], [3, 1, 0], [-2, 5, 1]]) @ ODD.lattice.matrix),
        ["K"] * 3,
        ODD.cart_coords,
        coords_are_cartesian=True,
    )
    for same in (moved, ODD * (2, 1, 1), skewed):
        assert amd(Cell.of(same)) == pytest.approx(first)


def test_changes_continuously() -> None:
    strained = Structure(ODD.lattice.matrix * 1.001, ODD.species, ODD.frac_coords)
    assert amd(Cell.of(strained)) == pytest.approx(1.001 * amd(Cell.of(ODD)))


def test_what_has_no_volume_or_is_too_flat_has_none() -> None:
    flat = Cell(np.diag([1e-6, 5.0, 5.0]), np.array([1]), np.zeros((1, 3)))
    assert np.isnan(amd(flat)).all()
    none = Cell(np.diag([0.0, 5.0, 5.0]), np.array([1]), np.zeros((1, 3)))
    assert np.isnan(amd(none)).all()


def test_nearest_is_the_smallest_of_the_largest_differences() -> None:
    known = amd_table([Cell.of(rock_salt(length=length)) for length in (5.0, 5.6, 6.4)] + [None])
    crystals = amd_table([Cell.of(rock_salt("K", "Br", 5.5)), None, Cell.of(ODD)])
    distance, row = nearest(crystals, known)
    differences = np.abs(crystals[:, None] - known[None, :3]).max(axis=-1)
    assert row.tolist()[:2] == [1, -1]
    assert distance == pytest.approx(differences.min(axis=1), nan_ok=True)
    assert np.isnan(nearest(crystals, known[3:])[0]).all()
