"""Files of reference energies: what is read, and what is refused by name and place."""

import bz2
import gzip
import json
import lzma
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from helpers.entries import SCHEME, record, written
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element
from pymatgen.entries.computed_entries import ComputedEntry
from pymatgen.io.vasp.sets import MPRelaxSet

from crystalformer_rl.stability.corrections import is_surely_corrected
from crystalformer_rl.stability.entries import (
    MP2020,
    UNCORRECTED,
    UNSTATED,
    HullEntry,
    common_scheme,
    lowest_elements,
    scheme_of,
)
from crystalformer_rl.stability.readers import read_csv, read_entries

COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
OPENERS = {".json": open} | {f".json{suffix}": opener for suffix, opener in COMPRESSED.items()}
HERE = Path("hull.json")
# Of helium, neon and argon no electronegativity is known.
SYMBOLS = [e.symbol for e in Element if e.Z <= 94 and e.Z not in (2, 10, 18)]


@pytest.mark.parametrize("suffix", OPENERS)
def test_entries_of_pymatgen_with_their_corrections(tmp_path: Path, suffix: str) -> None:
    records = [record("Na"), record("Na", "Cl", corrected=True), record("Al", "Ni")]
    path = written(tmp_path / f"hull{suffix}", records, OPENERS[suffix])
    sodium, salt, alloy = read_entries(path)
    assert sodium == HullEntry("Na", -3.0, None, "Na-1")
    assert salt == HullEntry("NaCl", pytest.approx(-3.0 - 0.614 / 2), MP2020, "NaCl-1")
    assert (alloy.formula, alloy.scheme) == ("AlNi", None)
    assert scheme_of(path, [sodium, salt, alloy]) == MP2020


def test_the_layout_of_alexandria(tmp_path: Path) -> None:
    """Entries under a key; composition and name may be in the structure and in the data."""
    salt = record("Na", "Cl", corrected=True)
    del salt["composition"]
    salt |= {"entry_id": None, "data": {"mat_id": "agm002", "elements": ["Na", "Cl"]}}
    path = written(tmp_path / "convex_hull_pbe.json.bz2", {"entries": [salt]}, bz2.open)
    assert list(read_entries(path)) == [
        HullEntry("NaCl", pytest.approx(-3.0 - 0.614 / 2), MP2020, "agm002")
    ]


def peak_of_reading(path: Path, count: int) -> int:
    """Bytes of memory that a file of ``count`` entries takes at most while it is read."""
    salt = json.dumps(record("Na", "Cl", corrected=True))
    path.write_text(f"[{','.join([salt] * count)}]")
    tracemalloc.start()
    assert sum(1 for _ in read_entries(path)) == count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.slow
def test_entries_are_streamed(tmp_path: Path) -> None:
    """The memory is that of a buffer: it does not grow with the file."""
    path = tmp_path / "hull.json"
    peak_of_reading(path, 10)  # what is loaded on first use stays
    assert peak_of_reading(path, 8000) < 2 * peak_of_reading(path, 1000)


def test_isotopes_count_as_hydrogen_and_sodium_nitride_is_a_compound(tmp_path: Path) -> None:
    entries = [
        ComputedEntry("D2O", -9.0, correction=-0.687),
        ComputedEntry("Na2N2", -12.0),
    ]
    path = written(tmp_path / "hull.json", [e.as_dict() for e in entries])
    water, nitride = read_entries(path)
    assert (water.formula, water.energy) == ("H2O", pytest.approx(-9.687 / 3))
    assert (nitride.formula, nitride.energy) == ("NaN", -3.0)
    table = tmp_path / "hull.csv"
    table.write_text("formula,formation_energy_per_atom,id\nNaN,-0.2,a\nD2O,-1.0,b\n")
    assert [e.formula for e in read_csv(table) if e.problem is None] == ["NaN", "D2O"]


def test_charged_entries_are_refused_by_name(tmp_path: Path) -> None:
    ion = ComputedEntry(Composition({"S6+": 1, "O2-": 4}), -30.0).as_dict()
    cell = record("Na", "Cl")
    cell["structure"]["charge"] = 1
    neutral = ComputedEntry(Composition({"Na+": 1, "Cl-": 1}), -6.0).as_dict()
    path = written(tmp_path / "hull.json", [ion, cell, neutral])
    assert [e.problem for e in read_entries(path)] == [
        "SO4 has charge -2: only neutral compounds are allowed",
        "NaCl has charge +1: only neutral compounds are allowed",
        None,
    ]
    table = tmp_path / "hull.csv"
    table.write_text("formula,formation_energy_per_atom\nSO4-2,-3\nFe3+,0\nsodium,0\n")
    problems = [e.problem or "" for e in read_csv(table)]
    assert problems[0] == "formula 'SO4-2' cannot be read: only neutral compounds are allowed"
    assert problems[1].startswith("formula 'Fe3+'")
    assert problems[2].startswith("formula 'sodium'")


@pytest.mark.parametrize("suffix", OPENERS)
def test_a_file_cut_in_the_middle_is_named_with_the_place(tmp_path: Path, suffix: str) -> None:
    records = [record("Na", "Cl") | {"entry_id": f"mp-{i}"} for i in range(200)]
    path = written(tmp_path / f"hull{suffix}", {"entries": records}, OPENERS[suffix])
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    with pytest.raises(
        ValueError, match=r"hull\.json.*: truncated or damaged after \d+ entries, before"
    ):
        list(read_entries(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("hull.json", "[]", "no entries; it must be an array, or an object"),
        ("hull.json", '{"Na": {}}', "no entries"),
        ("hull.json", "", "it is empty"),
        ("hull.json", "formula,energy", "truncated or damaged after 0 entries, before byte 14"),
        (
            "hull.json",
            '[{"energy": 1}]',
            "1 of 1 .*: not a ComputedEntry .*: it has no composition or structure; it has energy",
        ),
        ("hull.json", '[{"formula": "Na"}]', "1 of 1 .*: it has no energy; it has formula"),
        ("hull.json", "[7]", "1 of 1 .*: not a ComputedEntry .*: '7' is not an object"),
        ("hull.json", '[{"energy": nan}]', "truncated or damaged after 0 entries, before byte 17"),
        (
            "hull.json",
            '[{"energy": NaN, "correction": 0, "composition": {"Na": 1}}]',
            "1 of 1 entries cannot be read: .*: entry 1: Na: energy nan must be finite",
        ),
        (
            "hull.json",
            '[{"@class": "PDEntry", "energy": -1, "composition": {"Na": 1}}]',
            "1 of 1 .* neither correction nor energy_adjustments",
        ),
        ("hull.json", "<!DOCTYPE html><p>", "it is an HTML page"),
        ("hull.json", "version https://git-lfs.github.com/spec/v1", "it is a Git LFS pointer"),
        ("hull.json.bz2", "version https://git-lfs.github.com/spec/v1", "it is a Git LFS pointer"),
        ("hull.json.gz", "[7]", "truncated or damaged after 0 entries, before byte 0"),
        (
            "hull.json",
            '[{"energy": "nan", "correction": 0, "composition": {"Na": 1}}]',
            "1 of 1 .*: entry 1: Na: energy nan must be finite",
        ),
        ("hull.yaml", "[]", "unknown kind of file: the name must end in .json, .json.gz"),
    ],
)
def test_other_bad_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"{name}: {message}"):
        list(read_entries(path))


ROWS = (
    "formula,formation_energy_per_atom,material_id,note\n",
    'NaCl,-2.105,mp-1,"one, two"\n',
    'NaN,-1.5e-1,mp-2,"a line\nand another"\r\n',
    "KCl,-2,,\n",
)


@given(cut=st.integers(0, len("".join(ROWS)) - 1))
def test_a_plain_csv_is_refused_if_cut_anywhere_but_at_a_row_end(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "hull.csv"
    text = "".join(ROWS)
    path.write_bytes(text[:cut].encode())
    ends = {len("".join(ROWS[:count])): count for count in range(1, len(ROWS) + 1)}
    if cut in ends:
        assert len(read_csv(path)) == ends[cut] - 1
    else:
        with pytest.raises(ValueError, match=r"hull\.csv: "):
            read_csv(path)


def test_a_whole_csv_is_read_whatever_holds_it(tmp_path: Path) -> None:
    text = "\ufeff" + "".join(ROWS)
    for suffix, opener in ({"": open} | COMPRESSED).items():
        with opener(path := tmp_path / f"hull.csv{suffix}", "wb") as stream:
            stream.write(text.encode())
        assert read_csv(path) == [
            HullEntry("NaCl", -2.105, UNSTATED, "mp-1"),
            HullEntry("NaN", -0.15, UNSTATED, "mp-2"),
            HullEntry("KCl", -2.0, UNSTATED, ""),
        ]


@pytest.mark.parametrize("row", ["NaCl", "NaCl,-2.1", "NaCl,-2.1,mp-1,x,y"])
def test_rows_of_another_length_than_the_header_are_rejected(tmp_path: Path, row: str) -> None:
    path = tmp_path / "hull.csv"
    path.write_text(f"{ROWS[0]}KCl,-2.0,mp-3,\n{row}\n")
    good, bad = read_csv(path)
    assert (good.problem, good.energy) == (None, -2.0)
    fields = row.count(",") + 1
    assert bad.problem == f"the row has {fields} fields, the header has 4"
    assert bad.place == "hull.csv: row 2"


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("damage", ["cut", "another kind", "checksum"])
def test_damaged_compressed_csv_is_named(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"hull.csv{suffix}"
    with COMPRESSED[suffix](path, "wt") as stream:
        stream.write(ROWS[0] + "".join(f"NaCl,{-2 - i / 7},mp-{i},\n" for i in range(2000)))
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "another kind":
        content = bytearray(b"formula,formation_energy_per_atom\nNaCl,-2\n")
    else:
        content[-9 if suffix == ".bz2" else -5] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"hull\.csv\{suffix}: cannot be read as CSV: is it tr"):
        read_csv(path)


@pytest.mark.parametrize("name", ["hull.csv.zst", "hull.csv.zip", "hull.tsv", "hull.json"])
def test_other_kinds_of_tables_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("".join(ROWS))
    with pytest.raises(
        ValueError, match=rf"{name}: unknown kind of file: the name must end in .csv, .csv.gz"
    ):
        read_csv(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b"formula;formation_energy_per_atom\nMgO;-3,25\n",
        b"formula\tformation_energy_per_atom\nMgO\t-3,25\n",
        "\ufeffformula, formation_energy_per_atom\nMgO, -3.25\n".encode(),
        "formula,formation_energy_per_atom\nMgO,\u22123.25\n".encode(),
        "formula,formation_energy_per_atom\r\nMgO,-325e-2\r\n".encode("utf-16"),
        b"formula_pretty,formation_energy_per_atom\nMgO,-3.25\n",
        b"formula,formation_energy_per_atom\rMgO,-3.25\r",
        b"Formula;Formation_Energy_Per_Atom\nMgO;-3.25\n",
        f"formula,formation_energy_per_atom,cif\nMgO,-3.25,{'x' * 140_000}\n".encode(),
    ],
)
def test_csv_as_people_write_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hull.csv"
    path.write_bytes(content)
    assert read_csv(path) == [HullEntry("MgO", -3.25, UNSTATED)]


@pytest.mark.parametrize("name", ["run_type", "Run_Type", "functional", "calc_type"])
def test_the_column_of_the_functional(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hull.csv"
    path.write_text(f"formula,formation_energy_per_atom,{name}\nMgO,-3,PBE\nCaO,-3,R2SCAN\n")
    assert [entry.run_type for entry in read_csv(path)] == ["PBE", "R2SCAN"]


def test_tables_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "hull.csv"
    path.write_text('[{"energy": -1}]\n')
    with pytest.raises(ValueError, match="it is JSON"):
        read_csv(path)
    path.write_text("formula,Formula,formation_energy_per_atom\nMgO,CaO,-3\n")
    with pytest.raises(ValueError, match="differ only in case"):
        read_csv(path)


@pytest.mark.parametrize(
    "text", ["-3_2", "0x1", "inf", "-inf", "nan", "1,5", "-1.2.3", "1e999", ""]
)
def test_what_is_not_a_number_is_not_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hull.csv"
    path.write_text(f'formula,formation_energy_per_atom\nMgO,-3\nCaO,"{text}"\n')
    assert read_csv(path)[1].problem == (
        f"CaO: formation_energy_per_atom {text!r} must be a finite number"
    )


@pytest.mark.parametrize("formula", ["CaSO4.2H2O", "Cu(SO4).5H2O"])
def test_the_point_of_a_hydrate_is_not_read_as_an_amount(tmp_path: Path, formula: str) -> None:
    path = tmp_path / "hull.csv"
    path.write_text(f"formula,formation_energy_per_atom\n{formula},-2\nLi0.5H2O,-1\nFe0.9O,-1\n")
    hydrate, _, oxide = read_csv(path)
    assert "hydrate" in (hydrate.problem or "")
    assert oxide.problem is None


def entry(formula: str, scheme: str | None = None, problem: str | None = None) -> HullEntry:
    return HullEntry(formula, -1.0, scheme, f"{formula}-1", problem)


@pytest.mark.parametrize(
    ("entries", "scheme"),
    [
        ([entry("Na"), entry("AlNi")], None),
        ([entry("NaCl"), entry("AlNi")], UNCORRECTED),
        ([entry("NaCl", MP2020), entry("AlNi"), entry("NaN3"), entry("AlSbTi5")], MP2020),
        ([entry("MgO", "another"), entry("TiN")], "another"),
        ([entry("NaCl", MP2020), entry("MgO", problem="charged")], MP2020),
    ],
)
def test_scheme_of_a_file(entries: list[HullEntry], scheme: str | None) -> None:
    assert scheme_of(HERE, entries) == scheme


@pytest.mark.parametrize("odd", ["MgO", "KCl", "CaF2", "ZnS", "TiN", "CsSnI3", "Mg2Si", "LiH"])
def test_two_schemes_in_a_file_are_refused(odd: str) -> None:
    mixed = [entry("NaCl", MP2020), entry("AlNi"), entry(odd)]
    message = rf"json: .* not mix: NaCl-1 \(NaCl\): MP2020; {odd}-1 \({odd}\): uncorrected"
    with pytest.raises(ValueError, match=message):
        scheme_of(HERE, mixed)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40)
@given(amounts=st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 4), min_size=1, max_size=3))
def test_what_pymatgen_leaves_uncorrected_is_accepted(amounts: dict[str, int]) -> None:
    composition = Composition(amounts)
    strongest = max(composition.elements, key=lambda element: element.X).symbol
    expected = MPRelaxSet.CONFIG["INCAR"]["LDAUU"].get(strongest, {})
    hubbards = {symbol: expected[symbol] for symbol in amounts if symbol in expected}
    for kind in ("sulfide", "sulfate"):
        if kind == "sulfate" and strongest == "S":
            continue
        found = ComputedEntry(
            composition,
            -1.0,
            parameters={
                "run_type": "GGA+U" if hubbards else "GGA",
                "hubbards": hubbards,
                "software": "none",
            },
            data={"sulfide_type": kind},
        )
        adjustments = SCHEME.get_adjustments(found)
        if not adjustments:
            assert not is_surely_corrected(amounts)
            formula = composition.reduced_formula
            assert scheme_of(HERE, [entry("NaCl", MP2020), entry(formula)]) == MP2020


def test_the_schemes_of_pymatgen_are_told_apart(tmp_path: Path) -> None:
    records = [record("Mg", "O", corrected=True), record("Mg", "O", corrected=True)]
    for adjustment in records[1]["energy_adjustments"]:
        adjustment |= {"name": "MP Anion Correction"}
        adjustment["cls"]["@class"] = "MaterialsProjectCompatibility"
    path = written(tmp_path / "hull.json", records)
    with pytest.raises(ValueError, match=r"MP2020; MgO-1 \(MgO\): MaterialsProjectCompatibility"):
        scheme_of(path, list(read_entries(path)))
    path = written(tmp_path / "manual.json", [ComputedEntry("MgO", -6, correction=-1).as_dict()])
    assert scheme_of(path, list(read_entries(path))) == "unnamed"


def test_two_files_of_different_schemes_are_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    columns = {"formula": ["NaCl"], "formation_energy_per_atom": [-2.0]}
    pd.DataFrame(columns | {"scheme": [MP2020]}).to_csv(first, index=False)
    pd.DataFrame(columns).to_csv(second, index=False)
    schemes = {path: scheme_of(path, read_csv(path)) for path in (first, second)}
    assert schemes == {first: MP2020, second: UNSTATED}
    with pytest.raises(ValueError, match=r"do not mix: .*a\.csv: MP2020; .*b\.csv: unstated"):
        common_scheme(schemes)
    assert common_scheme({first: None, second: MP2020}) == MP2020
    assert common_scheme({first: None}) is None


def test_lowest_elements() -> None:
    entries = [
        HullEntry("O2", -4.9),
        HullEntry("O8", -4.5),
        HullEntry("Na", -1.3),
        HullEntry("NaO", -9.0),
    ]
    assert lowest_elements([*entries, HullEntry("Na", -5.0, problem="charged")]) == {
        "O": -4.9,
        "Na": -1.3,
    }
