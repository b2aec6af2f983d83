"""Read reference energies from files: CSV of formation energies, pymatgen's entries as JSON."""

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ijson
import numpy as np

from crystalformer_rl.csv_tables import Table, load_csv
from crystalformer_rl.signatures import stand_in, start_of
from crystalformer_rl.stability.elements import parse_formula
from crystalformer_rl.stability.entries import UNSTATED, HullEntry
from crystalformer_rl.stability.functionals import stated_functional
from crystalformer_rl.stability.records import entry_of, records

FORMULA_COLUMNS = ("formula", "pretty_formula", "formula_pretty")
ENERGY_COLUMN = "formation_energy_per_atom"
DAMAGED = (EOFError, OSError, UnicodeError, lzma.LZMAError, zlib.error, ijson.JSONError)
_OPENERS: Mapping[str, Callable[..., Any]] = {
    "": open, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open,
}  # fmt: skip
JSON_SUFFIXES = tuple(f".json{suffix}" for suffix in _OPENERS)
# float() would also read 3_2 as 32, and inf.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_HYDRATE = re.compile(r"\.\d*H2O\)?$")
_SHOWN = 3


def read_csv(path: Path) -> list[HullEntry]:
    """Formation energies, eV/atom with the elements at 0, from a CSV.

    Columns ``formula`` (or ``pretty_formula``, ``formula_pretty``) and
    ``formation_energy_per_atom``; optional ``material_id`` or ``id``, ``run_type`` (``GGA``) or
    another of :data:`~.functionals.KEYS`, and ``scheme``, the corrections in the energy
    (``MP2020``, ``TRI2024``). Names of columns may be in any case. Commas, semicolons and tabs
    separate fields; where commas do not, they are read as decimal commas. An entry has a
    ``problem`` if its row has another length than the header, its energy is not a finite number, or
    its formula cannot be read or has a charge. The file is plain (``.csv``) or compressed
    (``.csv.gz``, ``.csv.bz2``, ``.csv.xz``). It is not detected if a plain file was truncated at
    the end of a line.

    Raises
    ------
    ValueError
        If the file is truncated or damaged, a column is missing, or more than half of the energies
        cannot be read.
    """
    _opener(path, ".csv")
    table = load_csv(path, names=FORMULA_COLUMNS, last_line_ends=True)
    columns = {name.strip().lower(): values for name, values in table.columns.items()}
    if len(columns) < len(table.columns):
        shown = [name[:40] for name in list(table.columns)[:20]]
        raise ValueError(f"{path}: columns of the header differ only in case or spaces: {shown}")
    formulas = next((columns[name] for name in FORMULA_COLUMNS if name in columns), None)
    if formulas is None or ENERGY_COLUMN not in columns:
        found = {"formula": formulas, ENERGY_COLUMN: columns.get(ENERGY_COLUMN)}
        missing = [name for name, values in found.items() if values is None]
        shown = [name[:40] for name in list(columns)[:20]]
        raise ValueError(f"{path}: columns {missing} are missing; it has {shown}")
    entries = [
        _csv_entry(
            table, {name: values[row] for name, values in columns.items()}, row, name=path.name
        )
        for row in range(len(table))
    ]
    _refuse_unread(path, [entry for entry in entries if np.isnan(entry.energy)], len(entries))
    return entries


def read_entries(path: Path) -> Iterator[HullEntry]:
    """Total energies, eV/atom with their corrections, from pymatgen's entries as JSON.

    The file (``.json``, or compressed: ``.json.gz``, ``.json.bz2``, ``.json.xz``) contains
    dictionaries of ``ComputedEntry`` or ``ComputedStructureEntry``, in one of the layouts of
    :func:`~.records.records`. It is read one entry at a time, and structures are dropped. An entry
    that is charged or cannot be read has a ``problem``.

    Raises
    ------
    ValueError
        If the file is truncated or damaged, or more than half of its items are not entries; the
        message says which.
    """
    unread: list[HullEntry] = []
    count = 0
    for count, record in enumerate(entry_records(path), start=1):
        entry = entry_of(record, place=f"{path.name}: entry {count}")
        if np.isnan(entry.energy):
            unread.append(entry)
        yield entry
    _refuse_unread(path, unread, count)


def entry_records(path: Path) -> Iterator[Any]:
    """The dictionaries of a file of pymatgen's entries, one at a time; see :func:`read_entries`.

    Raises
    ------
    ValueError
        If the file is truncated, damaged or without entries; the message names it.
    """
    count = 0
    with _opener(path, ".json")(path, "rb") as stream:
        try:
            for record in records(stream, compressed=path.suffix.lower() != ".json"):
                count += 1
                yield record
        except DAMAGED as error:
            if found := stand_in(start := start_of(path)):
                raise ValueError(f"{path}: it is {found}") from error
            if not start.strip():
                raise ValueError(f"{path}: it is empty") from error
            what = str(error).splitlines()[0] if str(error) else "no message"
            raise ValueError(
                f"{path}: truncated or damaged after {count} entries, before byte {stream.tell()} "
                f"of its text: {type(error).__name__}: {what}"
            ) from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if not count:
        raise ValueError(f'{path}: no entries; it must be an array, or an object with "entries"')


def _refuse_unread(path: Path, unread: list[HullEntry], count: int) -> None:
    if 2 * len(unread) > count:
        named = "; ".join(f"{entry.place}: {entry.problem}" for entry in unread[:_SHOWN])
        raise ValueError(f"{path}: {len(unread)} of {count} entries cannot be read: {named}")


def _opener(path: Path, kind: str) -> Callable[..., Any]:
    """The function that opens a file of this kind, by its suffix."""
    openers = {f"{kind}{suffix}": opener for suffix, opener in _OPENERS.items()}
    found = next((o for suffix, o in openers.items() if path.name.lower().endswith(suffix)), None)
    if found is None:
        raise ValueError(f"{path}: unknown kind of file: the name must end in {', '.join(openers)}")
    return found


def _csv_entry(table: Table, cells: Mapping[str, str], row: int, *, name: str) -> HullEntry:
    formula = next(cells[column] for column in FORMULA_COLUMNS if column in cells)
    text = cells[ENERGY_COLUMN]
    energy = np.nan if row in table.faults else _energy(text, table.separator)
    problem = table.faults.get(row)
    if problem is None and np.isnan(energy):
        problem = f"{formula}: {ENERGY_COLUMN} {text[:40]!r} must be a finite number"
    return HullEntry(
        formula,
        energy,
        cells.get("scheme") or UNSTATED,
        cells.get("material_id", cells.get("id")),
        problem or _problem(formula),
        stated_functional([cells]),
        f"{name}: row {row + 1}",
    )


def _energy(text: str, separator: str) -> float:
    """The number, or NaN if it is none."""
    plain = text.strip().replace("\N{MINUS SIGN}", "-")
    if separator != "," and plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    energy = float(plain) if _NUMBER.fullmatch(plain) else np.nan
    return energy if np.isfinite(energy) else np.nan


def _problem(formula: str) -> str | None:
    if _HYDRATE.search(formula.strip()):
        return (
            f"formula {formula!r}: the point can be that of a hydrate or of an amount: write it "
            "without a point"
        )
    try:
        parse_formula(formula)
    except ValueError as error:
        return str(error)
    return None
