"""The dataset stage: splits, rejections, what it writes, and what it refuses."""

import argparse
import gzip
import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from pymatgen.core import Structure

from crystalformer_rl.config import DatasetSettings
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.stages import dataset

FIXTURE = Path(__file__).parents[2] / "fixtures" / "mp20_val_16.csv"


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.read_csv(FIXTURE, dtype=str, keep_default_na=False)


def _run(out: Path, **settings: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    text = DatasetSettings.model_validate(settings).model_dump_json()
    parser = argparse.ArgumentParser()
    dataset.add_arguments(parser)
    dataset.run(parser.parse_args(["--settings", text, "--out", str(out)]))
    return pd.read_parquet(out / "structures.parquet"), pd.read_parquet(out / "rejected.parquet")


def _sources(folder: Path, **tables: pd.DataFrame) -> dict[str, str]:
    for name, part in tables.items():
        part.to_csv(folder / f"{name}.csv", index=False)
    return {name: str(folder / f"{name}.csv") for name in tables}


def _three(folder: Path, table: pd.DataFrame, first: int, second: int) -> dict[str, str]:
    parts = {"train": table[:first], "val": table[first:second], "test": table[second:]}
    return _sources(folder, **parts)


def test_crystals_above_the_hull_are_rejected_with_the_reason(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    energies = [0.0] * 13 + [0.1, 0.11, None]
    sources = _three(tmp_path, table.assign(e_above_hull=energies), 11, 13)
    kept, rejected = _run(tmp_path / "out", sources=sources, max_e_above_hull=0.1)
    assert kept["id"].tolist() == table["material_id"].tolist()[:14]
    assert rejected["reason"].tolist() == ["above_hull"] * 2
    assert rejected["detail"].tolist() == [
        "e_above_hull is 0.11, at most 0.1 eV/atom", "no label e_above_hull",
    ]  # fmt: skip


def test_one_source_per_split(table: pd.DataFrame, tmp_path: Path) -> None:
    sources = _three(tmp_path, table, 12, 14)
    kept, rejected = _run(tmp_path / "out", sources=sources)
    assert kept["split"].tolist() == ["train"] * 12 + ["val"] * 2 + ["test"] * 2
    assert kept["id"].tolist() == table["material_id"].tolist()
    assert kept["formula"].tolist() == table["pretty_formula"].tolist()
    assert kept["num_atoms"].tolist() == [len(s) for s in structures_of(kept) if s is not None]
    assert {"formation_energy_per_atom", "band_gap", "e_above_hull", "space_group"} <= set(kept)
    assert rejected.columns.tolist() == ["id", "split", "reason", "detail"]
    assert len(rejected) == 0
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert record["counts"] == {
        "items": 16, "merged_atoms": 0, "unread_labels": 0,
        "kept_train": 12, "kept_val": 2, "kept_test": 2,
    }  # fmt: skip
    assert set(record["inputs"]) == {"train", "val", "test"}


def test_one_source_with_a_split_column(table: pd.DataFrame, tmp_path: Path) -> None:
    splits = ["val", "train", "test", "train"] * 4
    sources = _sources(tmp_path, all=table.assign(split=splits))
    kept, _ = _run(tmp_path / "out", sources=sources)
    assert kept["split"].tolist() == splits


def test_one_source_split_by_hash_of_the_id(table: pd.DataFrame, tmp_path: Path) -> None:
    names = [f"{name}-{copy}" for name in table["material_id"] for copy in range(100)]
    shares = Counter(dataset._split_of(name) for name in names)
    assert abs(shares["train"] / len(names) - 0.8) < 0.04
    assert abs(shares["val"] / len(names) - 0.1) < 0.03
    kept, _ = _run(tmp_path / "out", sources=_sources(tmp_path, all=table))
    assert kept["split"].tolist() == [dataset._split_of(name) for name in kept["id"]]


@pytest.mark.filterwarnings("ignore")
def test_rejections_are_records(table: pd.DataFrame, tmp_path: Path) -> None:
    cifs = table["cif"].tolist()
    cifs[0] = cifs[0][:300]
    cifs[1] = cifs[1].replace("  1\n", "  0.5\n")
    sources = _three(tmp_path, table.assign(cif=cifs), 12, 14)
    kept, rejected = _run(tmp_path / "out", sources=sources, max_atoms=3)
    reasons = dict(zip(rejected["id"], rejected["reason"], strict=True))
    assert reasons[table["material_id"][0]] == "unreadable"
    assert reasons[table["material_id"][1]] == "disordered"
    assert set(rejected["reason"]) == {"unreadable", "disordered", "too_many_atoms"}
    assert kept["num_atoms"].max() <= 3
    assert len(kept) + len(rejected) == 16
    counts = json.loads((tmp_path / "out" / "provenance.json").read_text())["counts"]
    assert counts["rejected_unreadable"] == 1


def test_structures_are_reduced_to_the_primitive_cell(table: pd.DataFrame, tmp_path: Path) -> None:
    sources = _three(tmp_path, table, 8, 12)
    structures, _ = _run(tmp_path / "out", sources=sources)
    folder = tmp_path / "cifs"
    folder.mkdir()
    for name, structure in zip(structures["id"], structures_of(structures), strict=True):
        assert structure is not None
        (structure * (2, 1, 1)).to(str(folder / f"{name}.cif"), fmt="cif")
    named = table.assign(material_id=table["material_id"] + "-again")
    others = _sources(tmp_path, val=named[:2], test=named[2:4])
    again, _ = _run(tmp_path / "again", sources={"train": str(folder)} | others)
    sizes = dict(zip(structures["id"], structures["num_atoms"], strict=True))
    train = again[again["split"] == "train"]
    assert dict(zip(train["id"], train["num_atoms"], strict=True)) == sizes


def test_limit(table: pd.DataFrame, tmp_path: Path) -> None:
    sources = _three(tmp_path, table, 10, 14)
    kept, _ = _run(tmp_path / "out", sources=sources, limit=3)
    assert kept.index[kept["split"] == "val"].tolist() == [3, 4, 5]
    assert kept["id"].tolist() == table["material_id"].iloc[[0, 1, 2, 10, 11, 12, 14, 15]].tolist()
    everything = _sources(tmp_path, all=table.assign(split=["train", "val"] * 8))
    kept, _ = _run(tmp_path / "all", sources=everything, limit=2)
    assert kept["id"].tolist() == table["material_id"][:4].tolist()


def test_twice_the_same_is_the_same(table: pd.DataFrame, tmp_path: Path) -> None:
    sources = _three(tmp_path, table, 10, 14)
    first, _ = _run(tmp_path / "a", sources=sources)
    second, _ = _run(tmp_path / "b", sources=sources)
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_repeated_id_costs_the_later_row(table: pd.DataFrame, tmp_path: Path, form: str) -> None:
    sources = _three(tmp_path, table, 10, 14)
    broken = table[:1].assign(cif="x")
    train = pd.concat([broken, table[:10], table[4:5]], ignore_index=True)
    sources["train"] = str(tmp_path / f"train.{form}")
    getattr(train, f"to_{form}")(sources["train"], index=False)
    kept, rejected = _run(tmp_path / "out", sources=sources)
    assert kept["id"].tolist() == table["material_id"].tolist()
    assert rejected[["id", "reason"]].to_numpy().tolist() == [
        [table["material_id"][0], "unreadable"],
        [table["material_id"][4], "repeated_id"],
    ]
    assert rejected["detail"][1] == f"a row of {sources['train']} before has the same id"


def test_sources_with_the_same_ids_are_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    sources = _sources(tmp_path, train=table[:10], val=table[9:14], test=table[14:])
    message = rf"train.csv and .*val.csv have the same ids: '{table['material_id'][9]}'; "
    with pytest.raises(ValueError, match=message):
        _run(tmp_path / "out", sources=sources)
    assert not (tmp_path / "out").exists()
    for split in ("train", "val"):
        for place in range(5):
            path = tmp_path / split / f"{place}.cif"
            path.parent.mkdir(exist_ok=True)
            path.write_text(table["cif"][place])
    folders = {split: str(tmp_path / split) for split in ("train", "val")}
    with pytest.raises(ValueError, match=r"have the same ids: '0', '1', '2', …; ids must be"):
        _run(tmp_path / "out", sources=sources | folders)


def test_a_source_without_crystals_is_said_before_train_is_read(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
    (tmp_path / "train" / "a.cif").write_text(table["cif"][0])
    (tmp_path / "val" / "b.cif").write_text("<html>Sign in</html>")
    folders = {split: str(tmp_path / split) for split in ("train", "val")}
    real, read = dataset.primitive, []

    def primitive(structure: Structure, *, symprec: float) -> Structure:
        read.append(structure)
        return real(structure, symprec=symprec)

    monkeypatch.setattr(dataset, "primitive", primitive)
    with pytest.raises(
        ValueError, match=r"split 'val' has no crystals; rejected: 1 unread.*an HTML page"
    ):
        _run(tmp_path / "out", sources=folders | _sources(tmp_path, test=table[1:3]))
    assert read == []
    assert len(pd.read_parquet(tmp_path / "out" / "rejected.parquet")) == 1


@pytest.mark.filterwarnings("ignore")
def test_empty_splits_are_errors(table: pd.DataFrame, tmp_path: Path) -> None:
    one = _sources(tmp_path, all=table.assign(split="train"))
    with pytest.raises(
        ValueError, match=r"all\.csv: no row has split 'val'; train, val are needed"
    ):
        _run(tmp_path / "out", sources=one)
    with pytest.raises(ValueError, match=r"split 'test' has no crystals.*test\.csv"):
        _run(tmp_path / "out", sources=_three(tmp_path, table, 10, 16))
    broken = table.assign(cif=["x"] * 10 + table["cif"].tolist()[10:])
    with pytest.raises(ValueError, match=r"'train' has no crystals; rejected: 10 unreadable,"):
        _run(tmp_path / "out", sources=_three(tmp_path, broken, 10, 14))
    rejected = pd.read_parquet(tmp_path / "out" / "rejected.parquet")
    assert len(rejected) == 10
    assert set(rejected["detail"].str[:9]) == {"not a CIF"}


def test_bad_sources_are_named(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"dataset\.sources\.val: .*gone\.csv: no such file"
    ):
        sources = _three(tmp_path, table, 10, 14) | {"val": str(tmp_path / "gone.csv")}
        _run(tmp_path / "out", sources=sources)
    sources = _sources(tmp_path, all=table.assign(split="dev"))
    with pytest.raises(
        ValueError,
        match=r"'split' must be one of .* in 16 rows it is not: 'mp-998398' has 'dev'",
    ):
        _run(tmp_path / "out", sources=sources)


def test_a_missing_split_is_said_before_a_crystal_is_read(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a CIF was read")

    monkeypatch.setattr("crystalformer_rl.crystal.tables.one_crystal", never)
    with pytest.raises(ValueError, match="no row has split 'train'"):
        _run(tmp_path / "out", sources=_sources(tmp_path, all=table.assign(split="val")))
    sources = _sources(tmp_path, train=table[:10], val=table[9:14], test=table[14:])
    with pytest.raises(ValueError, match="have the same ids"):
        _run(tmp_path / "out", sources=sources)


def test_labels_that_cannot_be_read_are_empty_and_counted(
    table: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = ["None", "1.5", "large", "1,5", "inf", "True", *table["band_gap"][6:]]
    sources = _three(tmp_path, table.assign(band_gap=odd), 12, 14)
    kept, rejected = _run(tmp_path / "out", sources=sources)
    assert len(rejected) == 0
    assert kept["band_gap"].isna().tolist() == [True, False, *[True] * 4, *[False] * 10]
    assert "column 'band_gap': 5 values are not numbers and left empty" in caplog.text
    counts = json.loads((tmp_path / "out" / "provenance.json").read_text())["counts"]
    assert counts["unread_labels"] == 5


def test_a_folder_and_what_is_left_out_of_it(table: pd.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "cifs"
    for name in ("one.cif", "TWO.CIF", "sub/three.mcif", ".hidden.cif", "notes.txt"):
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(table["cif"][len(name) % 10])
    (folder / "four.cif.gz").write_bytes(gzip.compress(table["cif"][3].encode()))
    others = _sources(tmp_path, val=table[10:12], test=table[12:14])
    kept, rejected = _run(tmp_path / "out", sources={"train": str(folder)} | others)
    assert kept["id"][kept["split"] == "train"].tolist() == ["TWO", "four", "one", "sub/three"]
    assert rejected[["id", "reason"]].to_numpy().tolist() == [
        [".hidden.cif", "left_out"], ["notes.txt", "left_out"],
    ]  # fmt: skip


def test_merged_atoms_are_counted(table: pd.DataFrame, tmp_path: Path) -> None:
    cif = """data_Mg
_symmetry_space_group_name_H-M 'P 63/m m c'
_cell_length_a 3.2094
_cell_length_b 3.2094
_cell_length_c 5.2108
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Mg1 0.333 0.667 0.25
"""
    sources = _three(tmp_path, table.assign(cif=[cif, *table["cif"][1:]]), 12, 14)
    kept, _ = _run(tmp_path / "out", sources=sources)
    assert kept["num_atoms"][0] == 2
    counts = json.loads((tmp_path / "out" / "provenance.json").read_text())["counts"]
    assert counts["merged_atoms"] == 4
    _, rejected = _run(tmp_path / "strict", sources=sources, merge_below=1e-4)
    assert rejected[["id", "reason"]].to_numpy().tolist() == [["mp-998398", "not_physical"]]


def test_a_forged_download_is_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    downloads = tmp_path / "resources/downloads/mp_20"
    downloads.mkdir(parents=True)
    sources = _three(downloads, table, 10, 14)
    with pytest.raises(ValueError, match=r"mp_20/train\.csv: does not match manifest\.yaml"):
        _run(tmp_path / "out", sources=sources)
    assert not (tmp_path / "out").exists()
