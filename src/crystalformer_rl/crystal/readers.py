"""Read crystals from the files people have: CSV with CIFs, parquet, a folder of CIFs, extxyz.

A crystal that cannot be read is a row with an error; a file that cannot be read is an exception
that names it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ase.io
import numpy as np
import pandas as pd
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalformer_rl.crystal.cif import structure_from_cif
from crystalformer_rl.crystal.physical import refuse_unphysical
from crystalformer_rl.crystal.structures import COLUMNS, structure_of

ReadError = Literal["unreadable", "disordered", "not_physical"]
Value = float | str | None
ID_COLUMNS = ("material_id", "id")
NUMBER_COLUMNS = {
    "formation_energy_per_atom": "formation_energy_per_atom",
    "energy_per_atom": "energy_per_atom",
    "e_above_hull": "e_above_hull",
    "band_gap": "band_gap",
    "spacegroup.number": "space_group",
    "space_group": "space_group",
}
TEXT_COLUMNS = ("potential", "prototype")
CSV_SUFFIXES = (".csv", ".csv.gz", ".csv.xz")
FORMATS = "a folder of .cif files, or a .csv, .csv.gz, .csv.xz, .parquet, .extxyz or .cif file"


@dataclass(frozen=True)
class Row:
    """One crystal of a source.

    Attributes
    ----------
    id
        Its name in the source.
    structure
        In the cell it was given in; None if it could not be read or is disordered.
    error, reason
        What went wrong, and its kind; None when there is a structure.
    split
        What the source's ``split`` says, if anything.
    properties
        Known labels by name; energies in eV (per atom), band gap in eV.
    """

    id: str
    structure: Structure | None
    error: str | None = None
    reason: ReadError | None = None
    split: str | None = None
    properties: dict[str, Value] = field(default_factory=dict)


def read_crystals(source: Path) -> Iterator[Row]:
    """The crystals of a file or folder, in its order.

    Tables need a column ``material_id`` or ``id``, and ``cif`` or (parquet) the structure columns
    ``lattice``, ``numbers``, ``positions``; ``split`` and the known labels are optional, empty
    cells are missing labels. Files of a folder are named by their stem. Extended XYZ takes the
    same names from the comment line.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ValueError
        If the file is damaged, lacks a column, or is of no known kind; the message names it.
    """
    source = Path(source)
    if source.is_dir():
        return _read_folder(source)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file or folder")
    if source.name.endswith(CSV_SUFFIXES):
        return _read_table(source, _load_csv(source))
    if source.suffix == ".parquet":
        return _read_table(source, _load_parquet(source))
    if source.suffix == ".extxyz":
        return _read_extxyz(source)
    if source.suffix == ".cif":
        return iter([_row(source.stem, lambda: _cif_file(source))])
    raise ValueError(f"{source}: unknown kind of source; allowed: {FORMATS}")


def source_files(source: Path) -> list[Path]:
    """The files that :func:`read_crystals` reads of ``source``."""
    source = Path(source)
    return sorted(source.glob("*.cif")) if source.is_dir() else [source]


def _load_csv(source: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(source, dtype=str, keep_default_na=False)
    except (ValueError, EOFError, OSError, ArithmeticError) as error:
        raise ValueError(
            f"{source}: cannot be read as CSV (is it truncated?): {type(error).__name__}: {error}"
        ) from error


def _load_parquet(source: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(source)
    except (ValueError, OSError) as error:
        raise ValueError(f"{source}: cannot be read as parquet: {error}") from error


def _read_table(source: Path, table: pd.DataFrame) -> Iterator[Row]:
    ids = _ids(source, table)
    splits = _texts(table, "split")
    columns: dict[str, list[Any]] = {}
    for name, known in NUMBER_COLUMNS.items():
        if name in table.columns and known not in columns:
            columns[known] = _numbers(source, table, name)
    columns |= {name: _texts(table, name) for name in TEXT_COLUMNS if name in table.columns}
    for place, (name, load) in enumerate(zip(ids, _loaders(source, table), strict=True)):
        labels = {known: values[place] for known, values in columns.items()}
        yield _row(name, load, split=splits[place], properties=labels)


def _loaders(source: Path, table: pd.DataFrame) -> Iterator[Callable[[], Structure]]:
    if "cif" in table.columns:
        for text in _texts(table, "cif"):
            yield lambda text=text: structure_from_cif(text or "")  # type: ignore[misc]
    elif set(COLUMNS) <= set(table.columns):
        for row in zip(*(table[name] for name in COLUMNS), strict=True):
            yield lambda row=row: _present(structure_of(*row))  # type: ignore[misc]
    else:
        raise ValueError(
            f"{source}: no column 'cif', nor the columns {list(COLUMNS)}; it has "
            f"{list(table.columns)}"
        )


def _read_folder(source: Path) -> Iterator[Row]:
    files = source_files(source)
    if not files:
        raise ValueError(f"{source}: the folder has no .cif files")
    for path in files:
        yield _row(path.stem, lambda path=path: _cif_file(path))  # type: ignore[misc]


def _read_extxyz(source: Path) -> Iterator[Row]:
    try:
        frames = ase.io.read(source, index=":", format="extxyz")
    except Exception as error:
        # ase reports a damaged file with errors of many kinds.
        raise ValueError(
            f"{source}: cannot be read as extended XYZ: {type(error).__name__}: {error}"
        ) from error
    table = pd.DataFrame([atoms.info for atoms in frames], index=range(len(frames)), dtype=object)
    if not set(ID_COLUMNS) & set(table.columns):
        table["id"] = [f"{source.stem}-{place:06d}" for place in range(len(frames))]
    ids, splits = _ids(source, table), _texts(table, "split")
    numbers = {
        known: _numbers(source, table, name)
        for name, known in NUMBER_COLUMNS.items()
        if name in table.columns
    }
    for place, atoms in enumerate(frames):
        labels: dict[str, Value] = {known: values[place] for known, values in numbers.items()}
        yield _row(
            ids[place],
            lambda atoms=atoms: _from_atoms(atoms),  # type: ignore[misc]
            split=splits[place],
            properties=labels,
        )


def _from_atoms(atoms: Any) -> Structure:
    if atoms.cell.rank < 3:
        raise ValueError("the frame has no three-dimensional Lattice")
    return AseAtomsAdaptor.get_structure(atoms)


def _cif_file(path: Path) -> Structure:
    return structure_from_cif(path.read_text(encoding="utf-8", errors="replace"))


def _present(structure: Structure | None) -> Structure:
    if structure is None:
        raise ValueError("the structure columns are empty")
    return structure


def _row(
    name: str,
    load: Callable[[], Structure],
    *,
    split: str | None = None,
    properties: dict[str, Value] | None = None,
) -> Row:
    structure, error, reason = None, None, None
    try:
        structure = load()
    except ValueError as problem:
        error, reason = str(problem), "unreadable"
    else:
        if not structure.is_ordered:
            error, reason = f"{structure.formula}: partially occupied sites", "disordered"
            structure = None
    if structure is not None:
        try:
            refuse_unphysical(structure)
        except ValueError as problem:
            structure, error, reason = None, str(problem), "not_physical"
    return Row(name, structure, error, reason, split, properties or {})  # type: ignore[arg-type]


def _ids(source: Path, table: pd.DataFrame) -> list[str]:
    column = next((name for name in ID_COLUMNS if name in table.columns), None)
    if column is None:
        raise ValueError(
            f"{source}: no column {' or '.join(map(repr, ID_COLUMNS))}; it has "
            f"{list(table.columns)}"
        )
    ids = _texts(table, column)
    named = [name for name in ids if name]
    if len(named) < len(ids):
        raise ValueError(
            f"{source}: column {column!r} is empty in row {ids.index(None)} (counted from 0)"
        )
    return named


def _texts(table: pd.DataFrame, name: str) -> list[str | None]:
    """A column as texts, None where it is empty; all None if there is no such column."""
    if name not in table.columns:
        return [None] * len(table)
    return [None if _is_empty(value) else str(value) for value in table[name]]


def _numbers(source: Path, table: pd.DataFrame, name: str) -> list[float | None]:
    numbers: list[float | None] = []
    for place, value in enumerate(table[name]):
        try:
            numbers.append(None if _is_empty(value) else float(value))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{source}: column {name!r}, row {place} (counted from 0): {value!r} is no number"
            ) from error
    return numbers


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and bool(np.isnan(value)))
