"""Crystals in the conventional cell, for pictures and the viewer."""

import numpy as np
import pytest
from helpers.crystals import rock_salt
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalformer_rl.report.geometry import STEPS, conventional, geometry

SALT = rock_salt()
BROKEN = Structure(Lattice.cubic(3), ["H", "H"], np.zeros((2, 3)))  # two atoms on one spot


def _atoms(found: dict) -> Structure:
    atoms = np.array(found["atoms"]).reshape(-1, 4)
    return Structure(Lattice.from_parameters(*found["cell"]), atoms[:, 0], atoms[:, 1:] / STEPS)


def test_conventional_cell_is_found_from_the_primitive_one() -> None:
    primitive = SALT.get_primitive_structure()
    assert len(primitive) == 2
    assert len(conventional(primitive)) == 8


def test_structure_without_symmetry_is_shown_as_given() -> None:
    assert conventional(BROKEN) is BROKEN
    found = geometry(BROKEN)
    assert (found["group"], found["sites"]) == (None, [])
    assert found["cell"] == [3, 3, 3, 90, 90, 90]


def test_salt_has_its_textbook_positions() -> None:
    found = geometry(SALT.get_primitive_structure())
    assert found["group"] == 225
    assert found["sites"] == [["4a", 11, 0, 0, 0], ["4b", 17, 0.5, 0.5, 0.5]]
    assert len(_atoms(found)) == 8


@given(a=st.floats(3, 9), c=st.floats(3, 9), u=st.floats(0.05, 0.45))
def test_the_crystal_in_the_page_is_the_crystal_of_the_run(a: float, c: float, u: float) -> None:
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(a, c), ["Ti", "O"], [[0, 0, 0], [u, u, 0]]
    )
    found = _atoms(geometry(rutile))
    assert found.composition == rutile.composition
    assert found.volume == pytest.approx(rutile.volume, rel=1e-4)
    for one in (found, rutile):
        one.remove_species(["Ti"])
    distances = [np.sort(one.distance_matrix[0]) for one in (found, rutile)]
    assert distances[0] == pytest.approx(distances[1], abs=2e-3)
