"""Judging from Python: the table of the verb."""

from pathlib import Path

import pytest
from ase import Atoms
from helpers.crystals import rock_salt
from helpers.references import write_reference
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

import crystalformer_rl as cf
from crystalformer_rl.api import judging
from crystalformer_rl.crystal.readers import read_crystals


@pytest.mark.slow
def test_structures_of_both_packages_and_failures_are_rows(tmp_path: Path) -> None:
    reference, out = write_reference(tmp_path), tmp_path / "page"
    salt = rock_salt()
    alloy = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    crystals = [
        salt, AseAtomsAdaptor.get_atoms(rock_salt("Na", "F", 4.6)), None, alloy, Atoms("H2"),
    ]  # fmt: skip
    table = cf.judge(crystals, quick=True, reference=reference, out=out, processes=1)
    assert table["formula"].iloc[:2].tolist() == ["NaCl", "NaF"]
    assert table["decoded"].tolist() == [True, True, False, False, False]
    assert "partially occupied" in table["failure"].iloc[3]
    assert table["novel"].iloc[:2].tolist() == [False, True]
    assert (out / "index.html").is_file()


def test_one_structure_is_a_list_of_one(tmp_path: Path) -> None:
    for one in (rock_salt(), AseAtomsAdaptor.get_atoms(rock_salt())):
        (row,) = read_crystals(judging._written(one, tmp_path))
        assert row.structure == rock_salt()


def test_what_is_no_crystal_is_refused() -> None:
    with pytest.raises(TypeError, match="dict: give a Structure of pymatgen or Atoms of ASE"):
        cf.judge([{}], quick=True)  # type: ignore[list-item]


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.extxyz"):
        cf.judge(tmp_path / "nothing.extxyz", quick=True)
