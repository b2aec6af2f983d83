"""Tokens in tables and back."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.policies import TINY

from crystalformer_rl.crystal.decoding import decode
from crystalformer_rl.crystal.token_table import token_columns, tokens_of
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.model.policy import Policy


@pytest.fixture
def crystals() -> CrystalTokens:
    return Policy(TINY, seed=2).sample(np.repeat([2, 62, 225], 10), seed=3).tokens


def test_exact_through_a_file(crystals: CrystalTokens, tmp_path: Path) -> None:
    write_table(tmp_path / "table.parquet", pd.DataFrame(token_columns(crystals)))
    again = tokens_of(read_table(tmp_path / "table.parquet")).pad_to(TINY.max_sites)
    for name, array in crystals.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], array)


def test_the_same_structures_in_half_the_bytes(crystals: CrystalTokens, tmp_path: Path) -> None:
    table = pd.DataFrame(token_columns(crystals, whole=np.uint8, real=np.float32))
    write_table(tmp_path / "table.parquet", table)
    read = read_table(tmp_path / "table.parquet")
    assert read["wyckoff"][0].dtype == np.uint8
    assert read["site_positions"][0].dtype == np.float32
    for one, other in zip(decode(crystals), decode(tokens_of(read)), strict=True):
        assert (one.structure is None) == (other.structure is None)
        if one.structure is not None and other.structure is not None:
            assert one.structure.species == other.structure.species
            np.testing.assert_allclose(
                one.structure.lattice.abc, other.structure.lattice.abc, rtol=1e-6
            )
            shift = one.structure.frac_coords - other.structure.frac_coords
            np.testing.assert_allclose(shift - np.round(shift), 0, atol=1e-6)


def test_rounding_stays_in_the_cell() -> None:
    tokens = CrystalTokens(
        space_group=np.array([1]),
        wyckoff=np.array([[1]]),
        element=np.array([[11]]),
        position=np.full((1, 1, 3), 1 - 1e-12),
        lattice=np.ones((1, 6)),
    )
    (row,) = token_columns(tokens, real=np.float32)["site_positions"]
    assert row.tolist() == [0, 0, 0]


def test_no_crystals() -> None:
    empty = CrystalTokens.empty(3)
    assert len(tokens_of(pd.DataFrame(token_columns(empty)))) == 0


def test_what_does_not_fit_is_refused(crystals: CrystalTokens) -> None:
    table = pd.DataFrame(token_columns(crystals))
    with pytest.raises(ValueError, match=r"token columns \['element'\] are missing"):
        tokens_of(table.drop(columns="element"))
    table.at[4, "site_positions"] = np.zeros(2)
    with pytest.raises(ValueError, match="row 4: site_positions has 2 numbers, must be 3 ×"):
        tokens_of(table)
