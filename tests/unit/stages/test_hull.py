"""The hull stage: whose energies it takes, what it refuses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.entries.compatibility import Compatibility, MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedEntry, EnergyAdjustment

from crystalformer_rl.config import HullSettings
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.files import read_json, read_table, write_json, write_table
from crystalformer_rl.stability.corrections import mp2020_correction
from crystalformer_rl.stability.reference import Elements, ReferenceHull, read_elements
from crystalformer_rl.stages import hull

ENERGIES = {"Na": -1.3, "Cl": -1.8, "N": -8.3}


def rock_salt(first: str, second: str, length: float = 5.64) -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(length), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ).get_primitive_structure()


@pytest.fixture
def elements(tmp_path: Path) -> Path:
    path = tmp_path / "elements.json"
    write_json(path, {"potential": "chgnet", "energies": ENERGIES})
    return path


def write_dataset(path: Path, structures: list[Structure], **columns: Any) -> None:
    table = pd.DataFrame(
        {
            "id": [f"mp-{i}" for i in range(len(structures))],
            "split": "train",
            "formula": [s.composition.reduced_formula for s in structures],
            **structure_columns(structures),
            **columns,
        }
    )
    write_table(path, table)


def run(folder: Path, elements: Path, energies: Sequence[Path] = (), **settings: Any) -> Path:
    out = folder / "hull"
    hull.build_hull(
        HullSettings.model_validate(settings),
        structures=folder / "structures.parquet",
        element_energies=elements,
        energies=energies,
        out=out,
    )
    return out


def write_energies(folder: Path, *tables: dict[str, Any]) -> list[Path]:
    """Shards of the stage energies."""
    paths = [folder / f"energies/shard-{number:04d}.parquet" for number in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        columns = {"potential": "chgnet", "reason": None, **table}
        write_table(path, pd.DataFrame(columns, index=range(len(table["id"]))))
    return paths


def test_known_energies_are_joined_with_computed_ones(tmp_path: Path, elements: Path) -> None:
    structures = [rock_salt("Na", "Cl"), rock_salt("Na", "Cl"), rock_salt("Na", "N")]
    write_dataset(
        tmp_path / "structures.parquet",
        [*structures, rock_salt("K", "Cl")],
        energy_per_atom=[-3.0, -99.0, np.nan, -3.0],
        potential=["chgnet", "another", None, "chgnet"],
    )
    energies = write_energies(
        tmp_path,
        {"id": ["mp-2"], "energy_per_atom": [None], "reason": ["unphysical: atoms 0.1 Å apart"]},
        {"id": ["mp-1"], "energy_per_atom": [-3.25]},
        {"id": [], "energy_per_atom": []},
    )
    out = run(tmp_path, elements, energies)
    entries = read_table(out / "hull.parquet")
    assert entries["id"].tolist() == ["mp-0", "mp-1"]
    assert entries["source"].tolist() == ["dataset"] * 2
    first, second = entries["formation_energy_per_atom"]
    assert first == pytest.approx(-3.0 + 1.55)
    assert second == pytest.approx(-3.25 + 1.55)
    rejected = read_table(out / "rejected.parquet").set_index("id")["reason"]
    assert rejected.to_dict() == {
        "mp-2": "unphysical: atoms 0.1 Å apart",
        "mp-3": "KCl: no reference energy of K",
    }
    expected = Elements("chgnet", "mp2020_corrected", ENERGIES)
    assert read_elements(out / "elements.json") == expected
    counts = read_json(out / "provenance.json")["counts"]
    assert counts == {
        "items": 2, "rejected": 2, "known": 2, "computed": 2, "corrections": "MP2020"
    }  # fmt: skip
    reference = ReferenceHull.load(out)
    above = reference.hull.e_above_hull([Composition("NaCl")], [min(first, second) + 0.2])
    assert above.e_above_hull == pytest.approx([0.2])
    assert reference.elements.energies == ENERGIES


def test_a_crystal_without_an_energy_is_named(tmp_path: Path, elements: Path) -> None:
    write_dataset(tmp_path / "structures.parquet", [rock_salt("Na", "Cl"), rock_salt("Na", "N")])
    energies = write_energies(tmp_path, {"id": ["mp-0"], "energy_per_atom": [-3.0]})
    with pytest.raises(
        ValueError, match=r"1 crystals have no energy .* 'mp-1': .* --energies FOLDER:COUNT"
    ):
        run(tmp_path, elements, energies)
    energies = write_energies(
        tmp_path, {"id": ["mp-0"], "energy_per_atom": [-3.0], "potential": "orb"}
    )
    with pytest.raises(ValueError, match=r"shard-0000\.parquet: has energies of potential 'orb'"):
        run(tmp_path, elements, energies)
    assert not (tmp_path / "hull").exists()


def test_a_table_with_energies_by_several_potentials_gives_each_hull_its_own(
    tmp_path: Path, elements: Path
) -> None:
    write_dataset(
        tmp_path / "structures.parquet",
        [rock_salt("Na", "Cl"), rock_salt("Na", "N")],
        **{"energy_per_atom:chgnet": [-3.0, -4.0], "energy_per_atom:sevennet": [-2.0, -1.0]},
    )
    first = read_table(run(tmp_path, elements) / "hull.parquet")
    assert first["formation_energy_per_atom"].tolist() == pytest.approx([-3.0 + 1.55, -4.0 + 4.8])
    write_json(elements, {"potential": "sevennet", "energies": ENERGIES})
    out = run(tmp_path, elements, potential="sevennet")
    assert read_json(out / "provenance.json")["counts"]["known"] == 2


def test_formation_energies_from_a_csv(tmp_path: Path, elements: Path) -> None:
    path = tmp_path / "hull.csv.xz"
    pd.DataFrame(
        {
            "formula": ["NaN", "NaCl"],
            "formation_energy_per_atom": [-0.1, -2.1],
            "material_id": ["", "mp-22862"],
        }
    ).to_csv(path, index=False)
    out = run(tmp_path, elements, reference="csv", files=[str(path)])
    entries = read_table(out / "hull.parquet")
    assert entries["formula"].tolist() == ["NaN", "NaCl"]
    assert entries["id"].tolist() == ["", "mp-22862"]
    nitride = ReferenceHull.load(out).hull.e_above_hull([Composition("NaN")], [0.0])
    assert nitride.e_above_hull == pytest.approx([0.1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"formula,energy\nNaCl,-2\n", r"columns \['formation_energy_per_atom'\] are missing"),
        (
            b"formula,formation_energy_per_atom\nNaCl,-2\nKCl,two\nKF,\n",
            "2 of 3 entries .*: row 2: KCl: .* 'two' .*: row 3: KF: .* '' must be a finite",
        ),
        (b"formula,formation_energy_per_atom\nNaCl,\n", "row 1: NaCl: .* '' must be a finite"),
        (b"formula,formation_energy_per_atom\nsalt,-2\n", "no entry .*: row 1: formula 'salt'"),
        (b"", "the file is empty"),
        (
            b"formula,formation_energy_per_atom\nMg,0\nO2,0\nMgO,-601.6\n",
            r"must be in eV/atom, .* MgO -601\.6 \(hull\.csv: row 3\)\. Are they in kJ/mol",
        ),
        (
            b"formula,formation_energy_per_atom\nMg,-1.6\nO2,-4.95\nMgO,-6.29\n",
            r"Mg -1\.6 \(hull\.csv: row 1\), O2 -4\.95 .* Are these total energies",
        ),
        (
            b"formula,formation_energy_per_atom,run_type\nMgO,-3,GGA\nCaO,-3.2,r2SCAN\n",
            r"another functional .*: row 2, .* \(CaO\): run_type r2SCAN",
        ),
        (
            b"formula,formation_energy_per_atom\nNaCl,-2\nKCl,-",
            "ends within line 3: it is truncated",
        ),
        (b"formula,formation_energy_per_atom\n", "no entry for the hull"),
    ],
)
def test_bad_csv_files_are_named(
    tmp_path: Path, elements: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "hull.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"hull.csv: .*{message}"):
        run(tmp_path, elements, reference="csv", files=[str(path)])
    assert not (tmp_path / "hull").exists()


def test_a_forged_download_is_refused(tmp_path: Path, elements: Path) -> None:
    path = tmp_path / "resources/downloads/mp_20/val.csv"
    path.parent.mkdir(parents=True)
    path.write_text("formula,formation_energy_per_atom\nNaCl,-2.1\n")
    with pytest.raises(ValueError, match=r"mp_20/val\.csv: does not match manifest\.yaml"):
        run(tmp_path, elements, reference="csv", files=[str(path)])


def test_a_file_cut_in_the_middle_is_named(tmp_path: Path, elements: Path) -> None:
    path = tmp_path / "hull.csv.xz"
    formulas = [f"Na{i}Cl" for i in range(1, 3000)]
    table = pd.DataFrame({"formula": formulas, "formation_energy_per_atom": -1.0})
    table.to_csv(path, index=False)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"hull\.csv\.xz: cannot be read as CSV"):
        run(tmp_path, elements, reference="csv", files=[str(path)])


def write_entries(path: Path, *entries: ComputedEntry) -> None:
    path.write_text(json.dumps({"entries": [entry.as_dict() for entry in entries]}))


def corrected(formula: str, energy: float) -> ComputedEntry:
    """An entry with the MP2020 corrections that its composition shows, eV of the formula."""
    parameters = {"run_type": "GGA", "hubbards": {}, "software": "none"}
    entry = ComputedEntry(formula, energy, parameters=parameters, entry_id=formula)
    MaterialsProject2020Compatibility(check_potcar=False).process_entry(entry)
    return entry


@pytest.mark.parametrize("reference", ["entries", "alexandria"])
def test_formation_energies_from_entries(tmp_path: Path, elements: Path, reference: str) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    write_entries(first, corrected("Na", -1.4), corrected("NaCl", -6.0), corrected("NaN", -7.0))
    write_entries(second, corrected("Na4", -5.2), corrected("Cl2", -3.6))
    out = run(tmp_path, elements, reference=reference, files=[str(first), str(second)])
    entries = read_table(out / "hull.parquet").set_index("id")
    assert set(entries["source"]) == {reference}
    assert entries.loc["NaCl", "formation_energy_per_atom"] == pytest.approx(
        (-6.0 - 0.614 + 1.4 + 1.8) / 2
    )
    assert entries.loc["Na4", "formation_energy_per_atom"] == pytest.approx(0.1)
    rejected = read_table(out / "rejected.parquet").set_index("id")["reason"]
    assert rejected.to_dict() == {"NaN": "a.json: entry 3: NaN: no reference energy of N"}
    assert read_json(out / "provenance.json")["counts"]["corrections"] == "MP2020"
    # Nitrogen has no entry, whatever the potential knows of it.
    reference = ReferenceHull.load(out)
    assert set(reference.elements.energies) == {"Na", "Cl"}
    queried = [Composition("NaCl"), Composition("Na3N")]
    status = reference.hull.e_above_hull(queried, [-2.0, 0.0]).status
    assert status == ["ok", "no_element_reference"]


def test_uncorrected_entries_and_mixed_files_are_refused(tmp_path: Path, elements: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    write_entries(first, ComputedEntry("Na", -1.4), ComputedEntry("NaCl", -6.0))
    write_entries(second, corrected("Cl", -1.8), corrected("NaCl", -6.0))
    with pytest.raises(
        ValueError, match=r"a\.json: correction scheme 'uncorrected', but the hull needs"
    ):
        run(tmp_path, elements, reference="entries", files=[str(first)])
    with pytest.raises(ValueError, match=r"a\.json: uncorrected; .*b\.json: MP2020"):
        run(tmp_path, elements, reference="entries", files=[str(first), str(second)])
    assert not (tmp_path / "hull").exists()


class TRI110Compatibility2024(Compatibility):
    """The two adjustments of MatterGen's class of this name, for oxides of iron."""

    def get_adjustments(self, entry: ComputedEntry) -> list[EnergyAdjustment]:
        found = [EnergyAdjustment(0.108 * entry.uncorrected_energy, name="TRI110PBE")]
        if entry.parameters["run_type"] == "GGA+U":
            added = -3.189 * entry.composition["Fe"]
            found.append(EnergyAdjustment(added, name="TRI110PBE_U"))
        return found


def test_entries_of_tri2024(tmp_path: Path, elements: Path) -> None:
    path = tmp_path / "a.json"
    record = {"potential": "chgnet", "energies": ENERGIES | {"Fe": -8.3, "O": -4.9}}
    write_json(elements, record)
    entries = [
        ComputedEntry(formula, energy, parameters={"run_type": kind}, entry_id=formula)
        for formula, energy, kind in (
            ("Fe", -8.3, "GGA"), ("O2", -9.8, "GGA"), ("Fe2O3", -33.0, "GGA+U")
        )
    ]  # fmt: skip
    TRI110Compatibility2024().process_entries(entries, inplace=True)
    write_entries(path, *entries)
    chosen = {"reference": "entries", "files": [str(path)]}
    with pytest.raises(ValueError, match=r"'TRI2024', but the hull needs MP2020 energies"):
        run(tmp_path, elements, **chosen)
    out = run(tmp_path, elements, corrections="TRI2024", **chosen)
    found = read_table(out / "hull.parquet").set_index("id")["formation_energy_per_atom"]
    assert found.to_dict() == pytest.approx({"Fe": 0, "O2": 0, "Fe2O3": -1.65232})
    # The same energy by the potential: its correction by MP2020 is taken out first.
    places = np.arange(15).reshape(5, 3) % 7 / 7
    oxide = Structure(Lattice.cubic(9), ["Fe"] * 2 + ["O"] * 3, places)
    energy = -33.0 / 5 + mp2020_correction(oxide)
    placed = ReferenceHull.load(out).place([Cell.of(oxide)], [energy])
    assert placed.e_above_hull == pytest.approx([0], abs=1e-9)
    write_entries(path, *entries, ComputedEntry("Fe3", -20.0, entry_id="bare"))
    with pytest.raises(ValueError, match=r"do not mix: .*TRI2024; bare \(Fe\): uncorrected"):
        run(tmp_path, elements, corrections="TRI2024", **chosen)


def test_a_bad_row_costs_one_row(tmp_path: Path, elements: Path) -> None:
    path = tmp_path / "hull.csv"
    rows = [f"Na{count}Cl,-1.0,{count}" for count in range(1, 21)]
    bad = ["Na2,-0.5,low", "NaF,-600,large", "KF,-3_2,word", "KCl,-inf,infinite", "KBr,-2", "Na,0,"]
    path.write_text("\n".join(["formula,formation_energy_per_atom,id", *rows, *bad, ""]))
    out = run(tmp_path, elements, reference="csv", files=[str(path)])
    assert read_table(out / "hull.parquet")["id"].tolist() == [*map(str, range(1, 21)), ""]
    rejected = read_table(out / "rejected.parquet")
    assert rejected["id"].tolist() == ["low", "large", "word", "infinite", ""]
    assert rejected["reason"].tolist() == [
        "hull.csv: row 21: Na2: formation energy -0.5 eV/atom: an element cannot be below 0",
        "hull.csv: row 22: NaF: formation energy -600 eV/atom: not between -6 and 10",
        "hull.csv: row 23: KF: formation_energy_per_atom '-3_2' must be a finite number",
        "hull.csv: row 24: KCl: formation_energy_per_atom '-inf' must be a finite number",
        "hull.csv: row 25: the row has 2 fields, the header has 3",
    ]


def test_total_energies_of_another_functional_are_refused(tmp_path: Path, elements: Path) -> None:
    path = tmp_path / "a.json"
    entries = [corrected("Na", -1.4), corrected("Cl", -1.8), corrected("NaCl", -6.0)]
    other = ComputedEntry("NaCl", -9, entry_id="mp-1", parameters={"run_type": "R2SCAN"})
    write_entries(path, *entries, other)
    with pytest.raises(ValueError, match=r"a\.json: entry 4, mp-1 \(NaCl\): run_type R2SCAN"):
        run(tmp_path, elements, reference="entries", files=[str(path)])
    assert not (tmp_path / "hull").exists()


def test_the_rules_travel_with_the_hull(tmp_path: Path, elements: Path) -> None:
    path = tmp_path / "hull.csv"
    path.write_text("formula,formation_energy_per_atom\nNaN,-0.1\nFe3+,0\n")
    queried = [Composition("Na3N"), Composition("NaCl"), Composition("NaYb")]
    write_json(elements, {"potential": "chgnet", "energies": ENERGIES | {"Yb": -1.5}})
    files = {"reference": "csv", "files": [str(path)]}
    hull = ReferenceHull.load(run(tmp_path, elements, min_references=3, **files)).hull
    assert read_json(tmp_path / "hull/hull.json") == {
        "min_references": 3, "exclude_ytterbium": True
    }  # fmt: skip
    assert hull.e_above_hull(queried, np.zeros(3)).status == ["ok", "sparse", "ytterbium"]
    (reason,) = read_table(tmp_path / "hull/rejected.parquet")["reason"]
    assert (
        reason
        == "hull.csv: row 2: formula 'Fe3+' cannot be read: only neutral compounds are allowed"
    )
    hull = ReferenceHull.load(run(tmp_path, elements, exclude_ytterbium=False, **files)).hull
    assert hull.e_above_hull(queried, np.zeros(3)).status == ["ok"] * 3


def test_energies_of_an_uncorrected_potential_are_corrected(tmp_path: Path, elements: Path) -> None:
    record = {"potential": "chgnet", "energies": ENERGIES, "energy_convention": "uncorrected"}
    write_json(elements, record)
    salt = rock_salt("Na", "Cl")
    write_dataset(
        tmp_path / "structures.parquet", [salt], energy_per_atom=[-3.0], potential=["chgnet"]
    )
    out = run(tmp_path, elements)
    (energy,) = read_table(out / "hull.parquet")["formation_energy_per_atom"]
    assert energy == pytest.approx(-3.0 - 0.614 / 2 + 1.55)
    placement = ReferenceHull.load(out).place([Cell.of(salt)], [-3.0])
    assert placement.formation_energy == pytest.approx(energy)


@pytest.mark.parametrize("kind", ["matpes", "omat24"])
def test_energies_of_another_kind_have_a_hull_of_their_own_only(
    tmp_path: Path, elements: Path, kind: str
) -> None:
    record = {"potential": "chgnet", "energies": ENERGIES, "energy_convention": kind}
    write_json(elements, record)
    path = tmp_path / "hull.csv"
    path.write_text("formula,formation_energy_per_atom\nNaCl,-2\n")
    with pytest.raises(ValueError, match=rf"another kind \({kind}\) .* must be 'dataset'"):
        run(tmp_path, elements, reference="csv", files=[str(path)])
    columns = {"energy_per_atom": [-3.0], "potential": ["chgnet"]}
    write_dataset(tmp_path / "structures.parquet", [rock_salt("Na", "Cl")], **columns)
    out = run(tmp_path, elements)
    (energy,) = read_table(out / "hull.parquet")["formation_energy_per_atom"]
    assert energy == pytest.approx(-3.0 + 1.55)
    assert read_json(out / "provenance.json")["counts"]["corrections"] == kind


def test_elements_of_another_potential_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "elements.json"
    write_json(path, {"potential": "orb", "energies": ENERGIES})
    write_dataset(tmp_path / "structures.parquet", [rock_salt("Na", "Cl")])
    with pytest.raises(ValueError, match="has energies of potential 'orb'"):
        run(tmp_path, path)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1], "must be an object with the entries"),
        ({"potential": "chgnet", "energies": {}}, "energies must be an object"),
        ({"potential": "chgnet", "energies": {"Na": "x"}}, "energy of Na is 'x'"),
        (
            {"potential": "chgnet", "energies": ENERGIES, "energy_convention": "GGA"},
            "unknown energy_convention 'GGA': use one of mp2020_corrected, uncorrected, matpes,",
        ),
    ],
)
def test_bad_element_files_are_named(tmp_path: Path, record: Any, message: str) -> None:
    path = tmp_path / "elements.json"
    write_json(path, record)
    with pytest.raises(ValueError, match=f"elements.json: .*{message}"):
        read_elements(path)
