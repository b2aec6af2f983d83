"""Tables of crystals: CSV with CIFs, parquet with CIFs or structure columns."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.cif import CifCrystal, one_crystal
from crystalformer_rl.crystal.labels import is_empty, labels_of, texts
from crystalformer_rl.crystal.physical import refuse_unphysical
from crystalformer_rl.crystal.rows import Row, Source, listing, row_of
from crystalformer_rl.crystal.structures import COLUMNS, cell_of, structure_of_json
from crystalformer_rl.csv_tables import Table, load_csv
from crystalformer_rl.encoding import decoded
from crystalformer_rl.files import read_arrow

ID_COLUMNS = ("material_id", "id", "mat_id")
LEMAT_COLUMNS = ("structure", "LeMatStructs", "cif_string")
"""Columns of LeMat-GenBench's tables, in its order: pymatgen's JSON or CIFs. Ids are optional."""
CSV_SUFFIXES = (".csv", ".csv.gz", ".csv.xz")
# Rounded numbers are the same crystal, another volume is not.
_SAME = StructureMatcher(ltol=0.02, stol=0.1, angle_tol=2, scale=False)
_SAME_VOLUME = 0.02


def open_csv(path: Path, *, merge_below: float) -> Source:
    """The crystals of a CSV file, perhaps compressed.

    Raises
    ------
    ValueError
        If it cannot be read, or lacks a column.
    """
    return _open(path, load_csv(path, names=(*ID_COLUMNS, *LEMAT_COLUMNS)), merge_below)


def open_parquet(path: Path, *, merge_below: float) -> Source:
    """The crystals of a parquet file.

    Raises
    ------
    ValueError
        If it cannot be read, or lacks a column.
    """
    table = read_arrow(path)
    if twice := sorted({name for name in table.column_names if table.column_names.count(name) > 1}):
        raise ValueError(f"{path}: there are columns twice: {listing(twice)}")
    columns = {name: _values(table[name]) for name in table.column_names}
    return _open(path, Table(columns, {}), merge_below)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column, texts of any encoding; lists of numbers are arrays."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        # Not every writer makes sure that texts are UTF-8.
        column = column.cast(pa.large_binary())
    if pa.types.is_nested(kind):
        return list(column.to_pandas())
    if pa.types.is_primitive(kind):
        return list(column.to_pylist())
    return [_text(value) for value in column.to_pylist()]


def _text(value: Any) -> Any:
    """The text of a value in bytes; any other value as it is."""
    if not isinstance(value, bytes):
        return value
    try:
        return decoded(value)
    except ValueError:
        # What is wrong is said where the text is read.
        return value.decode("latin-1")


def _open(path: Path, table: Table, merge_below: float) -> Source:
    names, nameless = _ids(path, table)
    faults = table.faults | nameless
    load = _loader(path, table, merge_below)
    splits = texts(table.columns.get("split", [None] * len(table)))
    labels, unread = labels_of(table.columns, len(table))

    def row(place: int) -> Row:
        if place in faults:
            return Row(names[place], None, faults[place], "unreadable", splits[place])
        return row_of(
            names[place], lambda: load(place), split=splits[place], properties=labels[place]
        )

    return Source(path, lambda: map(row, range(len(names))), names, splits, unread, row)


def _loader(
    path: Path, table: Table, merge_below: float
) -> Callable[[int], Cell | Structure | CifCrystal]:
    """Reads the crystal of a row."""
    if (lemat := _lemat_column(table)) is not None:
        return partial(_of_text, table.columns[lemat], merge_below=merge_below)
    cifs = table.columns.get("cif")
    cells = None
    if set(COLUMNS) <= set(table.columns):
        cells = [table.columns[name] for name in COLUMNS]
    if cifs is None and cells is None:
        raise ValueError(
            f"{path}: no column 'cif', nor the columns {list(COLUMNS)}, nor one of "
            f"{list(LEMAT_COLUMNS)}; " + _has(table, ["cif", *COLUMNS])
        )

    def load(place: int) -> Cell | CifCrystal:
        cell = cell_of(*(values[place] for values in cells)) if cells else None
        if cifs is None or (cell is not None and is_empty(cifs[place])):
            if cell is None:
                raise ValueError("the structure columns are empty")
            return cell
        text = "" if is_empty(cifs[place]) else str(cifs[place])
        crystal = one_crystal(text, merge_below=merge_below)
        if cell is not None and crystal.structure is not None:
            refuse_unphysical(cell)
            _refuse_contradiction(crystal.structure, cell.structure())
        return crystal

    return load


def _lemat_column(table: Table) -> str | None:
    """The column of LeMat-GenBench, of a table without the columns that are usual here."""
    if "cif" in table.columns or set(COLUMNS) <= set(table.columns):
        return None
    return next((name for name in LEMAT_COLUMNS if name in table.columns), None)


def _of_text(values: list[Any], place: int, *, merge_below: float) -> Structure | CifCrystal:
    text = "" if is_empty(values[place]) else str(values[place])
    if not text.strip():
        raise ValueError("the row has no crystal")
    if text.lstrip().startswith("{"):
        return structure_of_json(text)
    return one_crystal(text, merge_below=merge_below)


def _refuse_contradiction(cif: Structure, columns: Structure) -> None:
    """Raise unless a CIF and the structure columns of its row are the same crystal."""
    found = {"the CIF": cif, "the structure columns": columns}
    sizes = [one.volume / len(one) for one in found.values()]
    same = cif.reduced_formula == columns.reduced_formula
    if same and max(sizes) <= (1 + _SAME_VOLUME) * min(sizes) and _SAME.fit(cif, columns):
        return
    described = " and ".join(
        f"{name} {one.reduced_formula} with {size:.2f} Å³/atom"
        for (name, one), size in zip(found.items(), sizes, strict=True)
    )
    raise ValueError(f"the row has two crystals: {described}")


def _ids(path: Path, table: Table) -> tuple[list[str], dict[int, str]]:
    """The id of each row, and what is wrong with the rows that have none, by row."""
    numbered = [f"{path.name.partition('.')[0]}-{place:06d}" for place in range(len(table))]
    column = next((name for name in ID_COLUMNS if name in table.columns), None)
    if column is None and _lemat_column(table) is not None:
        return numbered, {}
    if column is None:
        raise ValueError(
            f"{path}: no column {' or '.join(map(repr, ID_COLUMNS))}; {_has(table, ID_COLUMNS)}"
        )
    ids = texts(table.columns[column])
    if ids and not any(ids):
        raise ValueError(f"{path}: column {column!r} is empty in all {len(ids)} rows")
    nameless = {
        place: f"row {place} (counted from 0) has no {column}"
        for place, name in enumerate(ids)
        if name is None
    }
    return [name or own for name, own in zip(ids, numbered, strict=True)], nameless


def _has(table: Table, wanted: Any) -> str:
    """The columns that there are, and those whose names are close to the wanted ones."""
    near = [
        repr(name)
        for name in table.columns
        if name not in wanted and str(name).strip().lower() in wanted
    ]
    hint = f"; write {' and '.join(near)} in lower case, without spaces" if near else ""
    return f"it has {listing(list(table.columns))}{hint}"
