"""What known and relaxed crystals are like."""

import pandas as pd
import pytest
from helpers.crystals import cubic_crystal, rock_salt
from pymatgen.core import Structure

from crystalformer_rl.crystal.cell import Cell, cells_from
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.evaluation.amd import amd
from crystalformer_rl.evaluation.known import describe, nearest_columns, symmetry_columns

SALT = cubic_crystal("Fm-3m", "Na", "Cl", 5.6)
CESIUM = cubic_crystal("Pm-3m", "Cs", "Cl", 4.1)
STRAINED = Structure(
    rock_salt().lattice.matrix * [1, 1, 1.1], rock_salt().species, rock_salt().frac_coords
)


def known(*structures: Structure) -> pd.DataFrame:
    ids = [one.reduced_formula for one in structures]
    return describe(pd.DataFrame({"id": ids, **structure_columns(structures)}))


def test_a_crystal_is_described_by_numbers_that_do_not_depend_on_its_cell() -> None:
    table = known(SALT, rock_salt(length=5.6), STRAINED)
    assert table["density"].tolist()[:2] == pytest.approx([SALT.density] * 2)
    assert table["num_elements"].tolist() == [2, 2, 2]
    assert table["space_group"].tolist() == [225, 225, 139]
    assert table["amd"][0] == pytest.approx(table["amd"][1], rel=1e-5)


def test_no_crystal_is_described_as_no_row() -> None:
    assert list(known()) == list(known(SALT))


def test_the_space_group_after_relaxation_is_compared_with_the_asked_one() -> None:
    asked = pd.Series([225, 225, 1, None], dtype="Int64")
    found = symmetry_columns(cells_from([SALT, STRAINED, None, SALT]), asked)
    assert found["relaxed_space_group"].tolist() == [225, 139, pd.NA, 225]
    assert found["space_group_kept"].tolist() == [True, False, False, False]
    assert found["relaxed_p1"].tolist() == [False] * 4


def test_the_nearest_known_crystal_is_the_one_of_the_same_geometry() -> None:
    table = known(SALT, CESIUM)
    other = cubic_crystal("Fm-3m", "K", "F", 5.5)
    found = nearest_columns(cells_from([other, None]), table)
    assert found["nearest_known_id"] == ["NaCl", None]
    # All distances scale with the cell, and so the largest one differs most.
    difference = 0.1 / 5.5 * amd(Cell.of(other))[-1]
    assert found["nearest_known"][0] == pytest.approx(difference, rel=1e-4)
    assert pd.isna(found["nearest_known"][1])
