"""The export verb: every format holds the same crystals, in the same order, with their energies."""

import zipfile
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cli import run_verb
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.files import read_json, write_table
from crystalformer_rl.stability.corrections import mp2020_correction
from crystalformer_rl.tools.export import command

CENTRE = [[0, 0, 0], [0.5, 0.5, 0.5]]
SALT = Structure(Lattice.cubic(3.5), ["Na", "Cl"], CENTRE)
OXIDE = Structure(Lattice.cubic(3.3), ["Mg", "O"], CENTRE)
IDS = ["base-0000-0000", "base-0000-0001", "base-0000-0002", "base-0000-0003", "sft-0000-0000"]


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Two good crystals, one that could not be relaxed, one not decoded; of sft only a failure."""
    torch.set_num_threads(1)
    before: list[Structure | None] = [SALT, OXIDE, SALT, None, None]
    after = [structure and structure.copy().apply_strain(0.01) for structure in before]
    table = pd.DataFrame(
        {
            "policy": ["base"] * 4 + ["sft"],
            "id": IDS,
            "space_group": 221,
            "formula": ["NaCl", "MgO", "NaCl", None, None],
            "judge_energy": [-3.4, np.nan, np.nan, np.nan, np.nan],
            "potential": "chgnet",
            "relax_status": ["converged", "not_converged", "diverged", "unphysical", "unphysical"],
            "energy_initial": [-3.0, -5.0, -3.0, None, None],
            "energy_final": pd.array([-3.5, -5.5, -9.0, None, None], dtype="Float64"),
            "e_above_hull_initial": [0.5, np.nan, 0.5, np.nan, np.nan],
            "e_above_hull": [0.05, np.nan, np.nan, np.nan, np.nan],
            "stable": [True, False, False, False, False],
            "sun": [False] * 5,
            **structure_columns(before),
            **structure_columns(after, prefix="relaxed_"),
        }
    )
    write_table(tmp_path / "evaluate" / "structures.parquet", table)
    return tmp_path


def run(folder: Path, *words: str) -> Path:
    arguments = ["--evaluation", str(folder / "evaluate"), "--out", str(folder / "out"), *words]
    run_verb(command, arguments)
    return folder / "out"


def test_the_folder_is_new_and_the_table_is_there(judged: Path) -> None:
    evaluation = ["--evaluation", str(judged / "evaluate")]
    run_verb(command, [*evaluation, "--out", str(out := judged / "finds-2026.01")])
    assert (out / "base" / "structures.extxyz").is_file()
    with pytest.raises(ValueError, match="exists; name a new or empty folder"):
        run_verb(command, [*evaluation, "--out", str(out)])
    with pytest.raises(ValueError, match="--vasp -3: must not be negative"):
        run_verb(command, [*evaluation, "--out", str(judged / "new"), "--vasp", "-3"])
    with pytest.raises(FileNotFoundError, match="give the folder of the evaluate stage"):
        run_verb(command, ["--evaluation", str(judged), "--out", str(judged / "new")])


def test_all_formats_hold_the_relaxed_crystals(judged: Path) -> None:
    out = run(judged)
    assert {path.name for path in out.iterdir()} == {"base", "provenance.json"}
    frames = ase.io.read(out / "base/structures.extxyz", index=":")
    assert [frame.info["id"] for frame in frames] == IDS[:2]
    assert [frame.get_potential_energy() for frame in frames] == [-7.0, -11.0]
    assert frames[0].info["e_above_hull"] == 0.05
    assert "e_above_hull" not in frames[1].info
    assert set(frames[0].arrays) == {"numbers", "positions"}
    assert frames[0].cell.lengths() == pytest.approx([3.5 * 1.01] * 3)

    names = [f"{name}.cif" for name in IDS[:2]]
    assert sorted(path.name for path in (out / "base/cifs").iterdir()) == names
    assert zipfile.ZipFile(out / "base/cifs.zip").namelist() == names
    assert Structure.from_file(out / "base/cifs" / names[1]).reduced_formula == "MgO"
    listed = pd.read_csv(out / "base/lemat-genbench.csv")
    assert listed["material_id"].tolist() == IDS[:2]
    loaded = Structure.from_str(listed["structure"][0], fmt="json")
    assert loaded == SALT.copy().apply_strain(0.01)
    counts = read_json(out / "provenance.json")["counts"]
    assert counts == {
        "items": 2, "base_generated": 4, "base_exported": 2, "sft_generated": 1, "sft_exported": 0,
    }  # fmt: skip


def test_listed_energies_are_uncorrected(judged: Path) -> None:
    """Of CHGNet, whose labels hold the corrections, they are taken out again."""
    energies = np.load(run(judged) / "base/energies.npy")
    corrections = [2 * mp2020_correction(structure) for structure in (SALT, OXIDE)]
    assert energies == pytest.approx(np.array([-7.0, -11.0]) - corrections)
    assert corrections[1] < -0.5


def test_the_stable_ones_and_none(judged: Path) -> None:
    frames = ase.io.read(run(judged, "--only", "stable") / "base/structures.extxyz", index=":")
    assert [frame.info["id"] for frame in frames] == IDS[:1]


def test_as_generated(judged: Path) -> None:
    out = run(judged, "--generated")
    frames = ase.io.read(out / "base/structures.extxyz", index=":")
    assert [frame.info["id"] for frame in frames] == IDS[:3]
    assert frames[0].cell.lengths() == pytest.approx([3.5] * 3)
    assert frames[0].get_potential_energy() == -6.0
    assert not (out / "base/energies.npy").exists()


def test_nothing_to_export_is_refused(judged: Path) -> None:
    with pytest.raises(ValueError, match="none of the 5 crystals is selected"):
        run(judged, "--only", "sun")


def test_a_table_of_another_kind_is_refused(judged: Path) -> None:
    write_table(judged / "evaluate/structures.parquet", pd.DataFrame({"id": IDS}))
    with pytest.raises(ValueError, match=r"structures\.parquet: lacks the columns .*policy"):
        run(judged)


def test_a_folder_with_something_in_it_is_refused(judged: Path) -> None:
    run(judged, "--generated")
    with pytest.raises(ValueError, match="a new or empty folder"):
        run(judged, "--generated")


def test_vasp_inputs_of_the_best(judged: Path) -> None:
    out = run(judged, "--vasp", "1")
    listed = pd.read_csv(out / "base/vasp/crystals.csv")
    assert listed["id"].tolist() == IDS[:1]
    assert listed["e_above_hull"].tolist() == [0.05]
    assert (out / "base/vasp" / IDS[0] / "INCAR").is_file()
    assert read_json(out / "provenance.json")["counts"]["base_vasp_refused"] == 0


def test_database_and_optimade_hold_the_same_crystals(judged: Path) -> None:
    out = run(judged)
    rows = list(ase.db.connect(out / "base/ase.db").select())
    assert [row.structure_id for row in rows] == IDS[:2]
    assert [row.energy for row in rows] == [-7.0, -11.0]
    assert rows[0].judge_energy == -3.4
    assert list(read_json(out / "base/properties.json")) == IDS[:2]


def test_an_id_that_is_a_path_stays_in_the_folder(judged: Path) -> None:
    path = judged / "evaluate/structures.parquet"
    table = pd.read_parquet(path)
    write_table(path, table.assign(id=["../../evil", "sub/b.1", *IDS[2:]]))
    out = run(judged, "--vasp", "9")
    names = ["%2E%2E%2F%2E%2E%2Fevil", "sub%2Fb%2E1"]
    cifs = [f"{name}.cif" for name in names]
    assert sorted(path.name for path in (out / "base/cifs").iterdir()) == cifs
    assert zipfile.ZipFile(out / "base/cifs.zip").namelist() == cifs
    assert pd.read_csv(out / "base/vasp/crystals.csv")["folder"].tolist() == names[:1]
