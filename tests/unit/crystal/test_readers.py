"""Every kind of source gives the same rows; damaged ones say what is wrong and where."""

import gzip
import lzma
import math
import re
import zipfile
from pathlib import Path

import ase.io
import pandas as pd
import pytest
from pymatgen.io.ase import AseAtomsAdaptor

from crystalformer_rl.crystal.readers import read_crystals, source_files
from crystalformer_rl.crystal.rows import Row
from crystalformer_rl.crystal.structures import structure_columns

FIXTURE = Path(__file__).parents[2] / "fixtures" / "mp20_val_16.csv"
MGO = [2.105, 2.105, 0.0, 2.105, 0.0, 2.105, 0.0, 2.105, 2.105]
ALLOY = """data_alloy
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cu1 0 0 0 0.5
Au1 0 0 0 0.5
"""


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(read_crystals(FIXTURE))


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.read_csv(FIXTURE, dtype=str, keep_default_na=False)


def _summary(row: Row) -> tuple[str, str, int, float]:
    assert row.structure is not None
    return row.id, row.structure.formula, len(row.structure), round(row.structure.volume, 4)


def test_csv(rows: list[Row]) -> None:
    assert len(rows) == 16
    first = rows[0]
    assert (first.id, first.split, first.error, first.reason) == ("mp-998398", None, None, None)
    assert first.structure is not None
    assert first.structure.reduced_formula == "InSnBr3"
    assert set(first.properties) == {
        "formation_energy_per_atom", "band_gap", "e_above_hull", "space_group",
    }  # fmt: skip
    assert first.properties["space_group"] == 1.0


@pytest.mark.parametrize(("suffix", "opener"), [("gz", gzip.open), ("xz", lzma.open)])
def test_compressed_csv(rows: list[Row], tmp_path: Path, suffix: str, opener: object) -> None:
    path = tmp_path / f"data.csv.{suffix}"
    with opener(path, "wb") as stream:  # type: ignore[operator]
        stream.write(FIXTURE.read_bytes())
    assert list(map(_summary, read_crystals(path))) == list(map(_summary, rows))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"data\.csv\.\w\w: cannot be read as CSV"):
        list(read_crystals(path))


def test_parquet_with_structures_and_other_labels(rows: list[Row], tmp_path: Path) -> None:
    path = tmp_path / "crystals.parquet"
    pd.DataFrame(
        {
            "id": [row.id for row in rows],
            "split": ["val", None] * 8,
            "energy_per_atom": [-1.5, float("nan")] * 8,
            "potential": ["chgnet"] * 16,
            "energy_per_atom:sevennet": [-1.25] * 16,
            **structure_columns([row.structure for row in rows[:15]] + [None]),
        }
    ).to_parquet(path)
    read = list(read_crystals(path))
    assert list(map(_summary, read[:15])) == list(map(_summary, rows[:15]))
    assert [row.split for row in read[:2]] == ["val", None]
    assert read[0].properties == {
        "energy_per_atom": -1.5, "potential": "chgnet", "energy_per_atom:sevennet": -1.25,
    }  # fmt: skip
    assert read[1].properties["energy_per_atom"] is None
    assert (read[15].reason, read[15].error) == ("unreadable", "the structure columns are empty")


def test_parquet_with_cifs(rows: list[Row], table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "cifs.parquet"
    table.to_parquet(path)
    assert list(map(_summary, read_crystals(path))) == list(map(_summary, rows))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"cifs\.parquet: cannot be read as a parquet table"):
        list(read_crystals(path))


@pytest.mark.filterwarnings("ignore")
def test_folder_of_cifs(rows: list[Row], table: pd.DataFrame, tmp_path: Path) -> None:
    for name, text in zip(table["material_id"], table["cif"], strict=True):
        (tmp_path / f"{name}.cif").write_text(text)
    (tmp_path / "alloy.cif").write_text(ALLOY)
    (tmp_path / "broken.cif").write_text(table["cif"][0][:400])
    (tmp_path / "notes.txt").write_text("not a crystal")
    read = {row.id: row for row in read_crystals(tmp_path)}
    assert len(source_files(tmp_path)) == 18
    assert read.pop("notes.txt").reason == "left_out"
    assert len(read) == 18
    for row in rows:
        assert _summary(read[row.id]) == _summary(row)
    assert read["alloy"].reason == "disordered"
    assert read["alloy"].error is not None
    assert "partially occupied" in read["alloy"].error
    assert read["broken"].reason == "unreadable"
    assert read["broken"].structure is None
    (one,) = read_crystals(tmp_path / "alloy.cif")
    assert one.reason == "disordered"


def test_links_in_a_folder(table: pd.DataFrame, tmp_path: Path) -> None:
    """A broken link is a row, and a linked folder is read once, also from inside itself."""
    folder, elsewhere = tmp_path / "crystals", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir()
        (place / "a.cif").write_text(table["cif"][0])
    (folder / "lost.cif").symlink_to(tmp_path / "not-fetched.cif")
    (folder / "more").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder)
    read = list(read_crystals(folder))
    assert [(row.id, row.reason) for row in read] == [
        ("a", None), ("lost", "unreadable"), ("more/a", None),
    ]  # fmt: skip
    assert "No such file" in (read[1].error or "")
    assert source_files(folder) == [folder / "a.cif", folder / "more" / "a.cif"]


def test_frames_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(path := tmp_path / "generated.zip", "w") as archive:
        archive.writestr("generated_crystals.extxyz", "")
    with pytest.raises(ValueError, match=r"unpack generated_crystals\.extxyz and give that file"):
        list(read_crystals(path))


def test_extxyz(rows: list[Row], tmp_path: Path) -> None:
    path = tmp_path / "frames.extxyz"
    frames = []
    for row in rows:
        atoms = AseAtomsAdaptor.get_atoms(row.structure)
        atoms.info = {"material_id": row.id, "band_gap": 1.25, "split": "test"}
        frames.append(ase.Atoms(atoms, info=atoms.info))
    frames[3].set_cell(None)
    frames[3].pbc = False
    ase.io.write(path, frames, format="extxyz")
    read = list(read_crystals(path))
    assert [row.id for row in read] == [row.id for row in rows]
    assert [_summary(read[0]), read[0].split] == [_summary(rows[0]), "test"]
    assert read[0].properties == {"band_gap": 1.25}
    assert (read[3].reason, read[3].structure) == ("unreadable", None)
    path.write_text(path.read_text()[:-300])
    *others, last = read_crystals(path)
    assert list(map(_summary, others[:3])) == list(map(_summary, rows[:3]))
    assert last.reason == "unreadable"
    assert re.fullmatch(r"the frame declares \d+ atoms and has \d+", str(last.error))
    path.write_text("not a crystal")
    with pytest.raises(ValueError, match=r"frames\.extxyz: cannot be read as extended XYZ"):
        list(read_crystals(path))


def test_extxyz_without_names(rows: list[Row], tmp_path: Path) -> None:
    path = tmp_path / "frames.extxyz"
    frames = [AseAtomsAdaptor.get_atoms(row.structure) for row in rows[:2]]
    ase.io.write(path, [ase.Atoms(atoms) for atoms in frames], format="extxyz")
    assert [row.id for row in read_crystals(path)] == ["frames-000000", "frames-000001"]


def test_a_csv_cut_within_a_cif_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    path.write_bytes(FIXTURE.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cut\.csv: cannot be read as CSV: is it truncated\?"):
        list(read_crystals(path))


def test_missing_columns_are_named(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    table.drop(columns="cif").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"data\.csv: no column 'cif', .* it has \[material_id, "):
        list(read_crystals(path))
    table.drop(columns="material_id").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"data\.csv: no column 'material_id' or 'id'"):
        list(read_crystals(path))
    path.write_text("")
    with pytest.raises(ValueError, match=r"data\.csv: cannot be read as CSV"):
        list(read_crystals(path))


def test_bad_cells_are_named(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    table.assign(band_gap="large").to_csv(path, index=False)
    assert {row.properties["band_gap"] for row in read_crystals(path)} == {None}
    table.assign(material_id="").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"column 'material_id' is empty in all 16 rows"):
        list(read_crystals(path))


def test_empty_labels_and_empty_cifs(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    table.assign(band_gap="", cif=["", *table["cif"][1:]]).to_csv(path, index=False)
    first, second, *_ = read_crystals(path)
    assert (first.reason, first.error) == ("unreadable", "the CIF is empty")
    assert second.properties["band_gap"] is None
    assert second.structure is not None


@pytest.mark.parametrize(
    ("columns", "reason", "error"),
    [
        ({"lattice": [1.0]}, "unreadable", "lattice has 1 numbers"),
        ({"numbers": [0, 8]}, "unreadable", "atomic numbers 0"),
        ({"numbers": [12.5, 8]}, "unreadable", "atomic numbers 12.5"),
        ({"numbers": [], "positions": []}, "not_physical", "no atoms"),
        ({"lattice": [4.0, 0, 0, 0, 4, 0, 4, 4, 0]}, "not_physical", "no volume"),
        ({"positions": [0.0, 0, 0, 0.5, math.nan, 0.5]}, "not_physical", "not finite"),
        ({"positions": [0.0] * 6}, "not_physical", "atoms are 0.000 Å apart"),
    ],
)
def test_a_bad_row_costs_that_row(
    columns: dict[str, list[float]], reason: str, error: str, tmp_path: Path
) -> None:
    good = {"lattice": MGO, "numbers": [12.0, 8.0], "positions": [0.0] * 3 + [0.5] * 3}
    path = tmp_path / "rows.parquet"
    pd.DataFrame([{"id": "ok"} | good, {"id": "bad"} | good | columns]).to_parquet(path)
    first, second = read_crystals(path)
    assert first.structure is not None
    assert first.structure.formula == "Mg1 O1"
    assert (second.id, second.structure, second.reason) == ("bad", None, reason)
    assert error in str(second.error)


def test_sources_that_are_not_there_or_of_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.csv: no such file or folder"):
        read_crystals(tmp_path / "gone.csv")
    (tmp_path / "data.xlsx").touch()
    with pytest.raises(ValueError, match=r"data\.xlsx: unknown kind of source; allowed: a folder"):
        read_crystals(tmp_path / "data.xlsx")
    with pytest.raises(ValueError, match=r"the folder has no \.cif files"):
        list(read_crystals(tmp_path))
