"""Entries as JSON: the layouts of files, and what a record says of its energy."""

import json
from pathlib import Path

import pytest
from helpers.entries import record, written

from crystalformer_rl.stability.kinds import refuse_other_functionals
from crystalformer_rl.stability.readers import read_entries


def test_layouts_of_entries(tmp_path: Path) -> None:
    records = [record("Na"), record("Na", "Cl", corrected=True)]
    expected = list(read_entries(written(tmp_path / "array.json", records)))
    assert [entry.formula for entry in expected] == ["Na", "NaCl"]
    by_run = [{"material_id": "mp-1", "entries": {"GGA": one}} for one in records]
    lines = "\n".join(json.dumps(one) for one in records)
    texts = {
        "by_id": json.dumps({f"mp-{i}": one for i, one in enumerate(records)}),
        "data": json.dumps({"meta": {"total": [2]}, "data": records}),
        "documents": json.dumps({"data": by_run}),
        "document_array": json.dumps(by_run),
        "lines": lines,
        "mark": "\ufeff" + json.dumps(records),
        "utf16": json.dumps(records),
    }
    for name, text in texts.items():
        path = tmp_path / f"{name}.json"
        path.write_text(text, encoding="utf-16" if name == "utf16" else "utf-8")
        assert list(read_entries(path)) == expected, name


def test_words_of_python_for_numbers_are_found_wherever_a_buffer_ends(tmp_path: Path) -> None:
    bad = {"energy": float("-inf"), "correction": 0, "composition": {"K": 1}, "data": {"NaN": "-"}}
    for length in range(65_480, 65_540):
        padding = {"note": "NaN, " + "x" * length}
        path = written(tmp_path / "hull.json", [record("Na") | padding, bad, record("Cl")])
        good, infinite, last = read_entries(path)
        assert (good.problem, last.problem) == (None, None)
        assert infinite.problem == "K: energy nan must be finite"


@pytest.mark.parametrize(
    ("stated", "adjustments", "energy"),
    [
        (-0.614, 1, -3.307), (0.0, 1, -3.307), (None, 1, -3.307), (-0.614, 0, -3.307),
        (None, 0, -3.0), (-1.228, 1, None),
    ],
)  # fmt: skip
def test_corrections_are_stated_or_the_sum_of_the_adjustments(
    tmp_path: Path, stated: float | None, adjustments: int, energy: float | None
) -> None:
    salt = record("Na", "Cl", corrected=True)
    salt |= {"correction": stated, "energy_adjustments": salt["energy_adjustments"][:adjustments]}
    path = written(tmp_path / "hull.json", [record("Na"), salt])
    found = list(read_entries(path))[1]
    if energy is None:
        assert "its correction is -1.228 eV, but" in (found.problem or "")
        assert "add up to -0.614 eV" in (found.problem or "")
    else:
        assert found.energy == pytest.approx(energy)
        assert found.problem is None


def test_an_unreadable_entry_costs_one_entry(tmp_path: Path) -> None:
    good = record("Na") | {"entry_id": 0}
    odd = [
        {"composition": {}, "structure": None},
        {"composition": {"Mg": 2, "O": -1}},
        {"energy": None},
    ]
    path = written(tmp_path / "hull.json", [good] * 3 + [record("Na") | one for one in odd])
    found = list(read_entries(path))
    assert [entry.problem is None for entry in found] == [True] * 3 + [False] * 3
    assert (found[0].id, found[3].place) == ("0", "hull.json: entry 4")


@pytest.mark.parametrize(
    "places",
    [
        {"run_type": "R2SCAN"},
        {"parameters": {"functional": "r2SCAN"}},
        {"data": {"calc_type": "R2SCAN Structure Optimization"}},
        {"parameters": {"run_type": "GGA"}, "data": {"thermo_type": "R2SCAN"}},
        {"parameters": {}, "data": {"thermo_type": "ThermoType.GGA_GGA_U_R2SCAN"}},
    ],
)
def test_every_statement_of_the_functional_counts(
    tmp_path: Path, places: dict[str, object]
) -> None:
    path = written(tmp_path / "hull.json", [record("Na"), record("Cl") | places])
    with pytest.raises(ValueError, match=r"entry 2, .*: run_type .*2SCAN"):
        refuse_other_functionals(str(path), list(read_entries(path)))


def test_documents_of_the_materials_project_state_the_functional_of_their_entries(
    tmp_path: Path,
) -> None:
    entries = [record(name) | {"parameters": {}, "data": {}} for name in ("Na", "Cl")]
    path = tmp_path / "thermo.json"
    good = [{"thermo_type": "GGA_GGA+U", "entries": {"GGA": entry}} for entry in entries]
    found = list(read_entries(written(path, good)))
    assert [entry.run_type for entry in found] == ["GGA", "GGA"]
    assert refuse_other_functionals("thermo.json", found) == found
    for document in (
        {"thermo_type": "R2SCAN", "entries": {"mp-1": entries[0]}},
        {"entries": {"R2SCAN": entries[0]}},
        {"thermo_type": "GGA_GGA+U_R2SCAN", "entries": {"GGA": entries[0]}},
    ):
        found = list(read_entries(written(path, [*good, document])))
        with pytest.raises(ValueError, match=r"entry 3, .*: run_type .*R2SCAN"):
            refuse_other_functionals("thermo.json", found)


def test_a_hubbard_u_shows_the_run_type_that_is_not_stated(tmp_path: Path) -> None:
    stated = [{"is_hubbard": True}, {"hubbards": {"Fe": 5.3}}, {"hubbards": {"Fe": 0.0}}]
    records = [record("Fe") | {"parameters": one} for one in stated]
    found = list(read_entries(written(tmp_path / "hull.json", records)))
    assert [entry.run_type for entry in found] == ["GGA+U", "GGA+U", None]


@pytest.mark.parametrize("name", ["R2SCAN", "r2SCAN", "SCAN", "PBEsol", "HSE06", "LDA"])
def test_other_functionals_are_refused(tmp_path: Path, name: str) -> None:
    records = [record("Na"), record("Cl")]
    for places in (
        {"parameters": {"run_type": name}},
        {"parameters": {}, "data": {"run_type": {"@class": "RunType", "value": name}}},
        {"parameters": {}, "entry_id": f"mp-1-{name}"},
    ):
        if name == "LDA" and "entry_id" in places:
            continue
        path = written(tmp_path / "hull.json", [*records, record("Na", "Cl") | places])
        with pytest.raises(ValueError, match=rf"hull\.json: entry 3, .*: run_type {name}\. They"):
            refuse_other_functionals(str(path), list(read_entries(path)))
