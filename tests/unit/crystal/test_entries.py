"""Crystals of Alexandria's files: entries as JSON, and the table that the published code makes."""

import bz2
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.crystals import rock_salt
from helpers.entries import record, written

from crystalformer_rl.crystal.readers import open_source, read_crystals, source_files
from crystalformer_rl.crystal.rows import Row


def alexandria(name: str, above: float | None, *symbols: str) -> dict[str, Any]:
    """An entry as Alexandria writes it, made up."""
    data = {
        "mat_id": name, "e_above_hull": above, "e_form": -0.5, "band_gap_ind": 1.25, "spg": 221,
        "nsites": 2, "elements": sorted(set(symbols)),
    }  # fmt: skip
    return record(*symbols) | {"data": data}


@pytest.fixture
def entries() -> list[Any]:
    disordered = alexandria("agm-3", 0.0, "Na", "Cl")
    disordered["structure"]["sites"][0]["species"] = [{"element": "Na", "occu": 0.5}]
    without = alexandria("agm-4", 0.0, "Na", "Cl")
    del without["structure"]
    unknown = alexandria("agm-5", 0.0, "Na", "Cl")
    unknown["structure"]["sites"][1]["species"] = [{"element": "Qq", "occu": 1}]
    return [
        alexandria("agm-1", 0.0, "Na", "Cl"), disordered, without, unknown, [1, 2],
        alexandria("agm-2", None, "Cs", "I"),
    ]  # fmt: skip


def rows_of(path: Path) -> list[Row]:
    return list(read_crystals(path))


def test_a_bad_entry_costs_one_row(entries: list[Any], tmp_path: Path) -> None:
    path = written(tmp_path / "alexandria_000.json.bz2", {"entries": entries}, bz2.open)
    rows = rows_of(path)
    assert [row.id for row in rows] == [
        "agm-1", "agm-3", "agm-4", "agm-5", "alexandria_000-4", "agm-2",
    ]  # fmt: skip
    assert [row.reason for row in rows] == [
        None, "disordered", "unreadable", "unreadable", "unreadable", None,
    ]  # fmt: skip
    assert "Structure or ComputedStructureEntry is needed" in (rows[2].error or "")
    assert "Qq" in (rows[3].error or "")
    salt, iodide = rows[0], rows[5]
    assert salt.structure is not None
    assert salt.structure.reduced_formula == "NaCl"
    assert salt.properties == {
        "e_above_hull": 0.0, "formation_energy_per_atom": -0.5, "band_gap": 1.25,
        "space_group": 221.0,
    }  # fmt: skip
    assert iodide.properties["e_above_hull"] is None


def test_a_folder_of_files_is_one_source(entries: list[Any], tmp_path: Path) -> None:
    second = written(tmp_path / "b.json", {"entries": [alexandria("agm-9", 0, "K", "F")]})
    first = written(tmp_path / "a.json.bz2", {"entries": entries[:1]}, bz2.open)
    (tmp_path / "README.txt").touch()
    assert [row.id for row in rows_of(tmp_path)] == ["agm-1", "agm-9"]
    assert source_files(tmp_path) == [first, second]


def test_a_truncated_file_is_an_error(entries: list[Any], tmp_path: Path) -> None:
    path = written(tmp_path / "a.json.bz2", {"entries": entries}, bz2.open)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"a\.json\.bz2: truncated or damaged after"):
        rows_of(path)


@pytest.mark.parametrize("text", ["", "oops", '{"x": 1}', '[{"structure": '])
def test_a_file_of_a_folder_without_a_crystal_is_a_row(
    entries: list[Any], tmp_path: Path, text: str
) -> None:
    written(tmp_path / "A.JSON", {"entries": entries[:1]}, open)
    (tmp_path / "b.json").write_text(text)
    assert [(row.id, row.reason) for row in rows_of(tmp_path)] == [
        ("agm-1", None), ("b-0", "unreadable"),
    ]  # fmt: skip


def test_a_file_of_a_folder_that_ends_early_is_an_error(entries: list[Any], tmp_path: Path) -> None:
    text = json.dumps(entries)
    (tmp_path / "a.json").write_text(text[: len(text) // 2])
    written(tmp_path / "b.json", {"entries": entries[:1]}, open)
    with pytest.raises(ValueError, match=r"a\.json: truncated or damaged after [1-9]"):
        rows_of(tmp_path)


def test_the_crystals_are_not_read_before_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"entries": [')
    assert open_source(path).ids == ()


def test_the_table_that_the_published_code_makes_of_it(tmp_path: Path) -> None:
    """``process_alex`` prints the dictionaries of the structures into a CSV, as Python does."""
    entries = [alexandria("agm-1", 0.0, "Na", "Cl"), alexandria("agm-2", 0.05, "Cs", "I")]
    kept = ("e_above_hull", "e_form", "mat_id", "elements", "spg", "band_gap_ind", "nsites")
    table = pd.DataFrame(
        [{k: one["data"][k] for k in kept} | {"structure": one["structure"]} for one in entries]
    )
    table.to_csv(tmp_path / "train.csv", index=False)
    assert "{'@module'" in (tmp_path / "train.csv").read_text()
    found = rows_of(tmp_path / "train.csv")
    path = written(tmp_path / "a.json", {"entries": entries})
    assert [(row.id, row.structure, row.properties) for row in found] == [
        (row.id, row.structure, row.properties) for row in rows_of(path)
    ]


def test_a_printed_dictionary_is_data_and_not_code(tmp_path: Path) -> None:
    text = "{'lattice': __import__('os').system('touch " + str(tmp_path / "ran") + "')}"
    table = pd.DataFrame({"mat_id": ["a"], "structure": [text]})
    table.to_csv(tmp_path / "a.csv", index=False)
    (row,) = rows_of(tmp_path / "a.csv")
    assert row.reason == "unreadable"
    assert not (tmp_path / "ran").exists()


def test_structures_of_pymatgen_need_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "salts.json"
    path.write_text(json.dumps([rock_salt().as_dict(), rock_salt("K", "Br", 6.6).as_dict()]))
    rows = list(read_crystals(path))
    assert [row.id for row in rows] == ["salts-0", "salts-1"]
    found = [row.structure.reduced_formula for row in rows if row.structure is not None]
    assert found == ["NaCl", "KBr"]
    rock_salt().to(str(tmp_path / "one.json"))
    (row,) = read_crystals(tmp_path / "one.json")
    assert row.structure == rock_salt()
