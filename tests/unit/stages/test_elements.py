"""The elements stage: the references that are shipped, found again; what it refuses."""

from pathlib import Path

import pandas as pd
import pytest
from helpers.cli import run_verb
from helpers.crystals import cubic_crystal

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.files import read_json, read_table, write_table
from crystalformer_rl.stability.reference import read_elements
from crystalformer_rl.stages import elements

ELEMENTS = Path(__file__).parents[3] / "resources/elements"


def run(folder: Path, crystals: pd.DataFrame, *words: str) -> Path:
    write_table(folder / "crystals.parquet", crystals)
    out = folder / "elements.json"
    run_verb(
        elements,
        [
            "--potential", "chgnet", "--crystals", str(folder / "crystals.parquet"),
            "--out", str(out), *words,
        ]
    )  # fmt: skip
    return out


def crystals_of(*symbols: str) -> pd.DataFrame:
    table = read_table(ELEMENTS / "crystals.parquet")
    return table[table["formula"].isin(symbols)]


def test_the_shipped_references_are_found_again(tmp_path: Path) -> None:
    shipped = read_elements(ELEMENTS / "chgnet.json").references.energies
    out = run(tmp_path, crystals_of("Si", "Fe", "Na", "O2", "Xe", "Ac"))
    found = read_elements(out)
    assert found.potential == "chgnet"
    assert found.convention == "mp2020_corrected"
    assert set(found.references.energies) == {"Si", "Fe", "Na", "O", "Xe", "Ac"}
    for symbol, energy in found.references.energies.items():
        assert energy == pytest.approx(shipped[symbol], abs=5e-3)
    counts = read_json(out.with_suffix(".provenance.json"))["counts"]
    assert counts["converged"] == counts["items"] == 12
    assert counts["missing"] == ""


def test_an_element_without_a_converged_crystal_is_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crystals = crystals_of("Al", "Si")
    squeezed = [
        [0.3 * x for x in lattice] if formula == "Si" else lattice
        for lattice, formula in zip(crystals["lattice"], crystals["formula"], strict=True)
    ]
    out = run(tmp_path, crystals.assign(lattice=squeezed))
    assert list(read_elements(out).references.energies) == ["Al"]
    assert "no energy for Si" in caplog.text
    counts = read_json(out.with_suffix(".provenance.json"))["counts"]
    assert (counts["missing"], counts["unphysical"]) == ("Si", 2)


def test_what_is_refused(tmp_path: Path) -> None:
    salt = pd.DataFrame(
        {"id": ["salt"], **structure_columns([cubic_crystal("Fm-3m", "Na", "Cl", 5.6)])}
    )
    with pytest.raises(ValueError, match="must consist of one element"):
        run(tmp_path, salt)
    squeezed = crystals_of("Al").assign(lattice=[[0.1, 0, 0, 0, 0.1, 0, 0, 0, 0.1]] * 2)
    with pytest.raises(ValueError, match="no crystal converges with potential 'chgnet'"):
        run(tmp_path, squeezed)
