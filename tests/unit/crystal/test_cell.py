"""Crystals as arrays, and as pymatgen structures."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell

SALT = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 1.5]])


def test_there_and_back() -> None:
    again = Cell.of(SALT).structure()
    assert again == SALT
    assert again.as_dict() == SALT.as_dict()
    assert again.is_ordered


def test_a_structure_shares_nothing_with_the_cell_or_with_another() -> None:
    cell = Cell.of(SALT)
    first, second = cell.structure(), cell.structure()
    first.translate_sites([0], [0.25, 0, 0])
    first[1].frac_coords[0] = 0.1
    first.replace(1, "Br")
    assert second == SALT
    assert cell.positions.tolist() == SALT.frac_coords.tolist()


def test_unknown_elements_are_refused() -> None:
    with pytest.raises(ValueError, match="999"):
        Cell(np.eye(3), np.array([999]), np.zeros((1, 3))).structure()


def test_disorder_is_refused() -> None:
    mixed = Structure(Lattice.cubic(3.3), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    with pytest.raises(ValueError, match=r"K0\.5 Na0\.5 is disordered"):
        Cell.of(mixed)


def test_composition() -> None:
    cell = Cell.of(SALT * (2, 1, 1))
    assert (cell.composition.formula, cell.composition.reduced_formula) == ("Na2 Cl2", "NaCl")
    assert (len(cell), cell.symbols) == (4, {"Na", "Cl"})


def test_density_is_pymatgens() -> None:
    assert Cell.of(SALT).density == pytest.approx(SALT.density, rel=1e-12)
    oxide = Structure(
        Lattice.hexagonal(3.25, 5.2), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]]
    )
    assert Cell.of(oxide).density == pytest.approx(oxide.density, rel=1e-12)
