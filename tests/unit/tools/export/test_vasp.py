"""VASP inputs: pymatgen reads them back, and a refused crystal is listed with the reason."""

from pathlib import Path

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.tools.export.vasp import write_inputs

CENTRE = [[0, 0, 0], [0.5, 0.5, 0.5]]


def crystal(*symbols: str) -> Structure:
    return Structure(Lattice.cubic(4.3), symbols, CENTRE)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, pd.DataFrame, int]:
    """Inputs of an oxide with a U, of crystals without a POTCAR, and of one with a remark."""
    monkeypatch.delenv("PMG_VASP_PSP_DIR", raising=False)
    made = [crystal("O", "Fe"), crystal("Ra", "O"), crystal("Po", "Po"), crystal("Yb", "O")]
    table = pd.DataFrame(
        {
            "id": ["a/b", "radium", "polonium", "ytterbium"],
            "formula": [one.reduced_formula for one in made],
            "space_group": 221,
            "e_above_hull": [0.0, 0.01, 0.02, 0.03],
            **structure_columns(made),
        }
    )
    refused = write_inputs(tmp_path / "vasp", table)
    return tmp_path / "vasp", pd.read_csv(tmp_path / "vasp/crystals.csv"), refused


def test_the_inputs_are_those_of_the_crystal(written: tuple[Path, pd.DataFrame, int]) -> None:
    folder = written[0] / "a%2Fb"
    poscar = Poscar.from_file(folder / "POSCAR")
    assert poscar.structure.matches(crystal("O", "Fe"))
    # The order of the species is the same in all four files.
    symbols = (folder / "POTCAR.spec").read_text().split()
    assert [symbol.partition("_")[0] for symbol in symbols] == poscar.site_symbols
    incar = Incar.from_file(folder / "INCAR")
    assert dict(zip(poscar.site_symbols, incar["LDAUU"], strict=True)) == {"Fe": 5.3, "O": 0}
    assert Kpoints.from_file(folder / "KPOINTS").kpts == [(5, 5, 5)]
    assert not (folder / "POTCAR").exists()


def test_what_the_set_refuses_is_listed(written: tuple[Path, pd.DataFrame, int]) -> None:
    folder, listed, refused = written
    assert refused == 2
    assert listed["refused"].fillna("").tolist() == [
        "", "MPRelaxSet has no POTCAR for Ra", "MPRelaxSet has no POTCAR for Po", "",
    ]  # fmt: skip
    assert "Yb_2" in listed["remark"][3]
    assert {path.name for path in folder.iterdir()} == {"a%2Fb", "ytterbium", "crystals.csv"}
    assert listed["folder"].fillna("").tolist() == ["a%2Fb", "", "", "ytterbium"]
    assert listed["e_above_hull"].tolist() == [0.0, 0.01, 0.02, 0.03]


def test_no_crystal_is_an_empty_list(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["a"], **structure_columns([crystal("O", "Fe")])})
    assert write_inputs(tmp_path, table[:0]) == 0
    assert pd.read_csv(tmp_path / "crystals.csv").empty
