"""Structures to table columns and back."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.structures import structure_columns, structures_of

SALT = Structure(Lattice.cubic(3.4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize("prefix", ["", "relaxed_"])
def test_columns_and_back_through_parquet(prefix: str, tmp_path: object) -> None:
    columns = structure_columns([SALT, None], prefix=prefix)
    assert list(columns) == [prefix + name for name in ("lattice", "numbers", "positions")]
    path = f"{tmp_path}/table.parquet"
    pd.DataFrame(columns).to_parquet(path)
    again, nothing = structures_of(pd.read_parquet(path), prefix=prefix)
    assert nothing is None
    assert again == SALT


def test_no_structures_at_all() -> None:
    assert structures_of(pd.DataFrame(structure_columns([None, None]))) == [None, None]
    assert structures_of(pd.DataFrame(structure_columns([]))) == []


def test_disordered_structures_are_refused() -> None:
    alloy = Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(ValueError, match=r"structure 1 \(Cu0.5 Au0.5\) is disordered"):
        structure_columns([SALT, alloy])


def test_missing_columns_and_numbers_that_do_not_fit_are_named() -> None:
    table = pd.DataFrame(structure_columns([SALT]))
    with pytest.raises(ValueError, match=r"\['relaxed_lattice', .* are missing"):
        structures_of(table, prefix="relaxed_")
    table = pd.DataFrame(structure_columns([SALT]) | {"positions": [np.zeros(5)]})
    with pytest.raises(ValueError, match=r"row 0: .* positions 5 \(must be 3 × 2 atoms\)"):
        structures_of(table)
