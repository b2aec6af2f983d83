"""Judging from Python: the table of the verb."""

from pathlib import Path

import pytest
from helpers.crystals import rock_salt
from helpers.references import write_reference
from pymatgen.io.ase import AseAtomsAdaptor

import crystalformer_rl as cf


@pytest.mark.slow
def test_structures_of_both_packages_and_failures_are_rows(tmp_path: Path) -> None:
    reference, out = write_reference(tmp_path), tmp_path / "page"
    salt = rock_salt()
    crystals = [salt, AseAtomsAdaptor.get_atoms(rock_salt("Na", "F", 4.6)), None]
    table = cf.judge(crystals, quick=True, reference=reference, out=out, processes=1)
    assert table["formula"].iloc[:2].tolist() == ["NaCl", "NaF"]
    assert table["decoded"].tolist() == [True, True, False]
    assert table["novel"].iloc[:2].tolist() == [False, True]
    assert (out / "index.html").is_file()


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.extxyz"):
        cf.judge(tmp_path / "nothing.extxyz", quick=True)
