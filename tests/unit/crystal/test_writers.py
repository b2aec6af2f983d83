"""The forms in which crystals are written, read back by the project's own readers."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalformer_rl.crystal.readers import read_crystals
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.crystal.writers import check_out, crystal_table, file_name, write_crystals
from crystalformer_rl.files import read_table


@pytest.fixture
def table() -> pd.DataFrame:
    """Rock salt, a crystal whose cell has no volume, and caesium chloride."""
    right = [np.pi / 2] * 3
    tokens = CrystalTokens(
        space_group=np.array([225, 225, 221]),
        wyckoff=np.array([[1, 2, 0]] * 3),
        element=np.array([[11, 17, 0], [11, 17, 0], [55, 17, 0]]),
        position=np.array([[[0.0] * 3, [0.5] * 3, [0.0] * 3]] * 3),
        lattice=np.array([[2.8] * 3 + right, [-1.0] * 3 + right, [3.3] * 3 + right]),
    )
    return crystal_table(tokens, np.array([-3.0, -4.0, -5.0]), prefix="x")


@pytest.mark.parametrize("name", ["a.parquet", "a.extxyz", "a.zip", "a"])
def test_what_is_written_is_read(table: pd.DataFrame, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    check_out(path)
    assert write_crystals(path, table) == 1
    if name == "a.zip":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path / "unpacked")
        path = tmp_path / "unpacked"
    if name == "a.parquet":
        pd.testing.assert_frame_equal(
            read_table(path)[["id", "log_prob"]], table[["id", "log_prob"]]
        )
    rows = [row for row in read_crystals(path) if row.structure is not None]
    assert [row.id for row in rows] == ["x-0000", "x-0002"]
    for row, structure in zip(rows, structures_of(table.drop(index=1)), strict=True):
        assert StructureMatcher(scale=False).fit(row.structure, structure)
    if name in ("a.parquet", "a.extxyz"):
        assert [row.properties["space_group"] for row in rows] == [225, 221]


@pytest.mark.parametrize("name", ["a.cif", "a.xyz", "results.v2"])
def test_other_suffixes(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"cannot write .*; the suffix may be .parquet"):
        check_out(tmp_path / name)


def test_long_ids_are_names_of_files(tmp_path: Path) -> None:
    ids = ["漢字" * 40 + end for end in ("", "a", "b")]
    names = [file_name(one) for one in ids]
    assert len(set(names)) == 3
    for name in names:
        (tmp_path / f"{name}.cif").write_text("")
    assert file_name("a/b.c") == "a%2Fb%2Ec"


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    check_out(tmp_path / "new")
    check_out(tmp_path)
    (tmp_path / "mine").touch()
    for path in (tmp_path, tmp_path / "mine"):
        with pytest.raises(ValueError, match="exists; a folder of CIFs must be new or empty"):
            check_out(path)
