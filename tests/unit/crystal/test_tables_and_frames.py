"""Texts of tables and frames as people write them: ids, separators, encodings, odd rows."""

import codecs
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from crystalformer_rl.crystal.readers import open_source, read_crystals
from crystalformer_rl.crystal.rows import Row
from crystalformer_rl.crystal.structures import structure_columns

CIF = """data_x
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a 3.4
_cell_length_b 3.4
_cell_length_c 3.4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Cs1 0 0 0
Cl1 0.5 0.5 0.5
"""
CSV = f'material_id,cif,band_gap\n007,"{CIF}",1.5\n1e5,"{CIF}",\n'
FRAME = """2
Lattice="3.4 0 0 0 3.4 0 0 0 3.4" Properties=species:S:1:pos:R:3 id={} pbc="T T T"
Cs 0 0 0
Cl 1.7 1.7 1.7
"""


def _rows(folder: Path, name: str, text: str | bytes) -> list[Row]:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_crystals(path))


def _formulas(rows: list[Row]) -> list[str | None]:
    return [None if row.structure is None else row.structure.formula for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        CSV.encode(),
        codecs.BOM_UTF8 + CSV.encode(),
        CSV.encode("utf-16"),
        CSV.encode("utf-16-le"),
        CSV.replace("data_x", "# Müller\ndata_x").encode("latin-1"),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace("\n", "\r").encode(),
        CSV.replace(",", ";").encode(),
        CSV.replace(",", "\t").encode(),
        CSV.replace(",", "|").encode(),
        ("sep=;\n" + CSV.replace(",", ";")).encode(),
        ("," + CSV.replace("\n007", "\n0,007").replace("\n1e5", "\n1,1e5")).encode(),
        CSV.replace("\n1e5", "\n\n1e5").encode(),
        CSV.replace("material_id", '"material_id"').encode(),
    ],
)
def test_one_table_in_many_spellings(text: bytes, tmp_path: Path) -> None:
    rows = _rows(tmp_path, "a.csv", text)
    assert [row.id for row in rows] == ["007", "1e5"]
    assert _formulas(rows) == ["Cs1 Cl1"] * 2
    assert [row.properties["band_gap"] for row in rows] == [1.5, None]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (CSV.replace("cif", "CIF"), "write 'CIF' in lower case, without spaces"),
        (CSV.replace(",cif", ", cif"), "write ' cif' in lower case, without spaces"),
        (CSV.replace("material_id", "Material_ID"), "write 'Material_ID' in lower case"),
        ("# by hand\n" + CSV, r"no column 'material_id' or 'id' or 'mat_id'; it has \[# by hand\]"),
        (CSV.replace("band_gap", "cif"), r"the header has columns twice: \[cif\]"),
        (CSV.replace("data_x", "data_\0x"), "it has a zero byte at character"),
        ("version https://git-lfs.github.com/spec/v1\noid", "it is a Git LFS pointer"),
        ("<!DOCTYPE html>\n<html>", "it is an HTML page"),
        (",".join(["id", *(f"f{i}" for i in range(5000))]) + "\n", r"f10, … \(5001 in all\)\]"),
    ],
)
def test_tables_that_are_refused(text: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"a\.csv: .*{error}") as caught:
        _rows(tmp_path, "a.csv", text)
    assert len(str(caught.value)) < 500


def test_a_cif_and_structure_columns_of_one_row_must_agree(tmp_path: Path) -> None:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    cscl = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], sites)
    wide = Structure(cscl.lattice.scale(1.1 * cscl.volume), ["Cs", "Cl"], sites)
    potassium = Structure(cscl.lattice, ["K", "Cl"], sites)
    rows = [cscl, cscl * (2, 1, 1), wide, potassium, None, cscl]
    cifs = [str(CifWriter(cscl))] * 5 + [None]
    path = tmp_path / "both.parquet"
    names = ["same", "supercell", "wide", "K", "no columns", "no cif"]
    pd.DataFrame({"id": names, "cif": cifs, **structure_columns(rows)}).to_parquet(path)
    found = list(read_crystals(path))
    read = [row.id for row in found if row.structure is not None]
    assert read == ["same", "supercell", "no columns", "no cif"]
    errors = {row.id: row.error for row in found if row.structure is None}
    assert errors == {
        "wide": "the row has two crystals: the CIF CsCl with 34.46 Å³/atom and the structure "
        "columns CsCl with 37.91 Å³/atom",
        "K": "the row has two crystals: the CIF CsCl with 34.46 Å³/atom and the structure columns "
        "KCl with 34.46 Å³/atom",
    }


def test_a_row_with_a_field_too_many_costs_that_row(tmp_path: Path) -> None:
    first, second = _rows(tmp_path, "a.csv", CSV.replace(",1.5\n", ",1.5,\n"))
    assert first.error == "the row has 4 fields, the header has 3"
    assert second.structure is not None


def test_a_table_holds_one_crystal_in_a_row(tmp_path: Path) -> None:
    two = CSV.replace(f'"{CIF}",1.5', f'"{CIF}{CIF.replace("data_x", "data_y")}",1.5')
    first, second = _rows(tmp_path, "a.csv", two)
    assert "the CIF has 2 crystals (x, y, …)" in str(first.error)
    assert second.structure is not None


@pytest.mark.parametrize(
    ("written", "name"),
    [("009852", "009852"), ("1e5", "1e5"), ("1_000", "1_000"), ("12.50", "12.50"), ("T", "T"),
     ("NaN", "NaN"), ('"a b/c=1"', "a b/c=1"), ('"[3,4]"', "[3,4]"), ('"1 2"', "1 2"),
     ("α-CaO", "α-CaO"), (r'"a\"b"', 'a"b')],
)  # fmt: skip
def test_ids_of_frames_are_their_texts(written: str, name: str, tmp_path: Path) -> None:
    (row,) = _rows(tmp_path, "a.extxyz", FRAME.format(written))
    assert row.id == name
    assert row.structure is not None


def test_labels_of_frames(tmp_path: Path) -> None:
    words = "a energy_per_atom=-5.95 potential=chgnet prototype=rocksalt split=val band_gap=None"
    path = tmp_path / "a.extxyz"
    path.write_text(FRAME.format(words) + FRAME.format("b"))
    source = open_source(path)
    assert source.splits == ["val", None]
    assert source.unread == {"band_gap": ["None"]}
    first, second = source.read()
    assert first.properties == {
        "energy_per_atom": -5.95, "potential": "chgnet", "prototype": "rocksalt", "band_gap": None,
    }  # fmt: skip
    assert set(second.properties.values()) == {None}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("Cl 1.7 1.7 1.7\n", ""), "declares 2 atoms and has 1"),
        (("2\nLat", "3\nLat"), "declares 3 atoms and has 2"),
        (("2\nLat", "1\nLat"), "declares 1 atoms and has 2|is not a number of atoms"),
        (("2\nLat", "x\nLat"), "line 5 is not a number of atoms: 'x'"),
        (("1.7 1.7 1.7", "1.7 nan 1.7"), "coordinate of atom 1 .* is not finite"),
        (("3.4 0 0 0", "3.4 0 nan 0"), "the lattice is not finite"),
        (('0 3.4"', '0 0"'), "the cell has no volume"),
        (('pbc="T T T"', 'pbc="F F F"'), "pbc F F F: not periodic"),
        (("Cl ", "Xx "), "unknown element 'Xx'"),
        (("pos:R:3", "frac_pos:R:3"), "no column pos .*: species, frac_pos"),
        (("pos:R:3", "scaled_positions:R:3"), "no column pos"),
        (("pos:R:3", "pos:R:three"), "Properties=.* cannot be read"),
        (("1.7 1.7 1.7", "1.7 1.7 1.7 0.5"), "atom 1 .* has 5 values, Properties has 4"),
        (("1.7 1.7 1.7", "1.7 1.7"), "atom 1 .* has 3 values, Properties has 4"),
        (('pbc="T T T"', 'pbc="T T T" pbc="T T F"'), "different values of pbc"),
        (("Cl ", "X "), "atomic numbers 0"),
        (("1.7 1.7 1.7", "0 0 0.1"), "atoms are 0.100 Å apart"),
        (('pbc="T T T"', 'pbc=""'), "not periodic"),
        (('pbc="T T T"', 'PBC="T T F"'), "pbc T T F: not periodic"),
        (('pbc="T T T"', 'Lattice="9 0 0 0 9 0 0 0 9"'), "2 different Lattices"),
        (('pbc="T T T"', 'occupancy="_JSON {\\"0\\": {\\"Cs\\": 0.5}}"'), "partially occupied"),
    ],
)
def test_a_damaged_frame_costs_that_frame(
    change: tuple[str, str], error: str, tmp_path: Path
) -> None:
    bad = FRAME.format("bad")
    assert change[0] in bad
    text = FRAME.format("first") + bad.replace(*change) + FRAME.format("last")
    rows = _rows(tmp_path, "a.extxyz", text)
    assert _formulas(rows) == ["Cs1 Cl1", *[None] * (len(rows) - 2), "Cs1 Cl1"]
    with pytest.raises(ValueError, match=error):
        raise ValueError("; ".join(str(row.error) for row in rows if row.error))
    reasons = {"no volume|not finite|Å apart": "not_physical", "occupied": "disordered"}
    expected = (
        reason for words, reason in reasons.items() if re.search(words, rows[1].error or "")
    )
    assert rows[1].reason == next(expected, "unreadable")


@pytest.mark.parametrize(
    ("column", "values", "error"),
    [
        ("Z:I:1", ("55", "19"), r"atom 1 \(counted from 0\) is Cl and has Z = 19"),
        ("occupancy:R:1", ("1.0", "0.5"), "partially occupied"),
        ("occupancy:R:1", ("1.0", "1.0"), None),
        ("Z:I:1", ("55", "17"), None),
    ],
)
def test_a_column_that_contradicts_costs_the_frame(
    column: str, values: tuple[str, str], error: str | None, tmp_path: Path
) -> None:
    lines = [f"Cs 0 0 0 {values[0]}", f"Cl 1.7 1.7 1.7 {values[1]}"]
    comment = f'Lattice="3.4 0 0 0 3.4 0 0 0 3.4" Properties=species:S:1:pos:R:3:{column}'
    (row,) = _rows(tmp_path, "a.extxyz", "\n".join(["2", comment, *lines]) + "\n")
    if error is None:
        assert row.error is None
    else:
        assert re.search(error, str(row.error))


def test_a_row_without_an_id_costs_that_row(tmp_path: Path) -> None:
    rows = _rows(tmp_path, "a.csv", CSV.replace("\n1e5", "\n"))
    assert [(row.id, row.reason) for row in rows] == [("007", None), ("a-000001", "unreadable")]
    assert rows[1].error == "row 1 (counted from 0) has no material_id"


def test_texts_in_bytes(tmp_path: Path) -> None:
    (row, _) = _rows(tmp_path, "a.csv", CSV)
    table = pd.read_csv(tmp_path / "a.csv", dtype=str)
    for name in ("material_id", "cif"):
        table[name] = [text.encode() for text in table[name]]
    table.to_parquet(tmp_path / "a.parquet")
    (first, _) = read_crystals(tmp_path / "a.parquet")
    assert (first.id, first.structure) == (row.id, row.structure)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_text_that_is_not_utf8_costs_at_most_its_row(kind: pa.DataType, tmp_path: Path) -> None:
    cells = [b"a", b"caf\xe9", b"\x80"]
    cifs = [CIF.encode(), b"# \xe9\n" + CIF.encode(), b"\x80" + CIF.encode()[5:]]
    table = pa.table({"id": _stored(cells, kind), "cif": _stored(cifs, kind)})
    table = table.append_column("note", _stored(cells, kind))
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    rows = list(read_crystals(tmp_path / "a.parquet"))
    assert [(row.id, row.reason) for row in rows] == [
        ("a", None), ("café", None), ("\x80", "unreadable"),
    ]  # fmt: skip


def _stored(values: list[bytes], kind: pa.DataType) -> pa.Array:
    """An array of texts as its bytes, which pyarrow does not check."""
    width = np.int64 if kind == pa.large_string() else np.int32
    ends = np.cumsum([0, *map(len, values)]).astype(width)
    buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(kind, len(values), buffers)


@pytest.mark.parametrize("metadata", [True, False])
def test_numbers_are_ids_as_they_are_stored(metadata: bool, tmp_path: Path) -> None:
    ids = [2**60 + 1, None, 3]
    if metadata:
        frame = pd.DataFrame({"id": pd.array(ids, dtype="Int64"), "cif": [CIF] * 3})
        frame.to_parquet(tmp_path / "a.parquet")
    else:
        pa.parquet.write_table(pa.table({"id": ids, "cif": [CIF] * 3}), tmp_path / "a.parquet")
    names = [row.id for row in read_crystals(tmp_path / "a.parquet")]
    assert names == ["1152921504606846977", "a-000001", "3"]


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    arrays = [pa.array(["a"]), pa.array([CIF]), pa.array([CIF])]
    table = pa.Table.from_arrays(arrays, names=["id", "cif", "cif"])
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet: there are columns twice: \[cif\]"):
        open_source(tmp_path / "a.parquet")


@pytest.mark.parametrize("numbers", [[True, True], {"a": 1}])
def test_what_is_no_list_of_numbers_costs_that_row(numbers: object, tmp_path: Path) -> None:
    row = {"id": "a", "lattice": [2.0, 0, 0, 0, 2, 0, 0, 0, 2], "positions": [0.0] * 6}
    table = pa.Table.from_pylist([row | {"numbers": numbers}])
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    (found,) = read_crystals(tmp_path / "a.parquet")
    assert found.reason == "unreadable"
    assert "numbers" in str(found.error)


def test_two_damaged_frames_in_a_row_are_two_rows(tmp_path: Path) -> None:
    bad = FRAME.replace("2\nLat", "{}\nLat")
    text = "".join([bad.format(n, n) for n in ("-2", "2.0", "x")]) + FRAME.format("last")
    rows = _rows(tmp_path, "a.extxyz", text)
    assert [(row.id, row.reason) for row in rows] == [
        ("-2", "unreadable"), ("2.0", "unreadable"), ("x", "unreadable"), ("last", None),
    ]  # fmt: skip
