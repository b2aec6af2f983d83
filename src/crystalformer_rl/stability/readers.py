"""Read reference energies from files: CSV of formation energies, pymatgen's entries as JSON."""

import bz2
import csv
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import ijson
import numpy as np
from pymatgen.core import Composition, Species

from crystalformer_rl.stability.elements import element_amounts, parse_formula
from crystalformer_rl.stability.entries import MP2020, UNSTATED, HullEntry

CSV_COLUMNS = ("formula", "formation_energy_per_atom")
DAMAGED = (EOFError, OSError, UnicodeError, lzma.LZMAError, zlib.error, csv.Error, ijson.JSONError)
_OPENERS: Mapping[str, Callable[..., Any]] = {
    "": open, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open,
}  # fmt: skip


def read_csv(path: Path) -> list[HullEntry]:
    """Formation energies, eV/atom with the elements at 0, from a CSV.

    Columns ``formula`` and ``formation_energy_per_atom``; optional ``material_id`` or ``id``, and
    ``scheme``, the corrections in the energy (``MP2020``). An entry with an unreadable formula or
    a charge has a ``problem``. The file is plain (``.csv``) or compressed (``.csv.gz``,
    ``.csv.bz2``, ``.csv.xz``). It is not detected if a plain file was truncated at the end of a
    line.

    Raises
    ------
    ValueError
        If the file is truncated or damaged, a column is missing, a row is shorter or longer than
        the header, or an energy is not a finite number.
    """
    entries: list[HullEntry] = []
    # Without newline="\n", half of a Windows line end would count as a line end.
    with _opener(path, ".csv")(path, "rt", encoding="utf-8-sig", newline="\n") as stream:
        table = csv.DictReader(_whole_lines(stream, path), strict=True)
        try:
            header = table.fieldnames or []
            if missing := [name for name in CSV_COLUMNS if name not in header]:
                raise ValueError(f"{path}: columns {missing} are missing; it has {[*header]}")
            for number, row in enumerate(table, start=1):
                # DictReader puts extra fields under the key None and fills missing ones with None.
                if None in row or None in row.values():
                    raise ValueError(f"{path}: row {number} must have {len(header)} fields")
                entries.append(_csv_entry(row, place=f"{path}: row {number}"))
        except DAMAGED as error:
            raise ValueError(
                f"{path}: cannot be read as CSV: truncated or damaged after {len(entries)} rows: "
                f"{type(error).__name__}: {error}"
            ) from error
    return entries


def read_entries(path: Path) -> Iterator[HullEntry]:
    """Total energies, eV/atom with their corrections, from pymatgen's entries as JSON.

    The file (``.json``, or compressed: ``.json.gz``, ``.json.bz2``, ``.json.xz``) contains an
    array of ``ComputedEntry`` or ``ComputedStructureEntry`` dictionaries, or an object with such an
    array under ``entries``, which is the format of Alexandria's hulls. It is read one entry at a
    time, and structures are dropped. A charged entry has a ``problem``.

    Raises
    ------
    ValueError
        If the file is truncated or damaged, or an item of the array is not an entry; the message
        says which.
    """
    count = 0
    with _opener(path, ".json")(path, "rb") as stream:
        try:
            for record in _records(stream):
                count += 1
                yield _entry(record, place=f"{path}: entry {count}")
        except DAMAGED as error:
            what = str(error).splitlines()[0] if str(error) else "no message"
            raise ValueError(
                f"{path}: truncated or damaged after {count} entries, before byte {stream.tell()} "
                f"of its text: {type(error).__name__}: {what}"
            ) from error
    if not count:
        raise ValueError(f'{path}: no entries; it must be an array, or an object with "entries"')


def _opener(path: Path, kind: str) -> Callable[..., Any]:
    """The function that opens a file of this kind, by its suffix."""
    openers = {f"{kind}{suffix}": opener for suffix, opener in _OPENERS.items()}
    found = next((o for suffix, o in openers.items() if path.name.endswith(suffix)), None)
    if found is None:
        raise ValueError(f"{path}: unknown kind of file: the name must end in {', '.join(openers)}")
    return found


def _whole_lines(stream: Iterable[str], path: Path) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        if not line.endswith("\n"):
            raise ValueError(
                f"{path}: ends within line {number}: it is truncated or lacks its last line end"
            )
        yield line


def _csv_entry(row: Mapping[str, str], *, place: str) -> HullEntry:
    formula, text = (row[name] for name in CSV_COLUMNS)
    try:
        energy = float(text)
    except ValueError:
        energy = np.nan
    if not np.isfinite(energy):
        raise ValueError(
            f"{place}, {formula}: formation_energy_per_atom {text!r} must be a finite number"
        )
    name = row.get("material_id", row.get("id"))
    return HullEntry(formula, energy, row.get("scheme") or UNSTATED, name, _problem(formula))


def _problem(formula: str) -> str | None:
    try:
        parse_formula(formula)
    except ValueError as error:
        return str(error)
    return None


def _records(stream: BinaryIO) -> Iterator[Any]:
    start = stream.read(1)
    while start.isspace():
        start = stream.read(1)
    stream.seek(0)
    return cast(
        Iterator[Any],
        ijson.items(stream, "item" if start == b"[" else "entries.item", use_float=True),
    )


def _entry(record: Any, *, place: str) -> HullEntry:
    try:
        composition = _composition(record)
        amounts = element_amounts(composition)
        energy = (float(record["energy"]) + float(record["correction"])) / sum(amounts.values())
        data = record.get("data") or {}
        name = record.get("entry_id") or data.get("material_id") or data.get("mat_id")
        scheme = _scheme(record)
    except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(
            f"{place}: not a ComputedEntry of pymatgen: {type(error).__name__}: {error}"
        ) from error
    formula = Composition(amounts).reduced_formula
    if not np.isfinite(energy):
        raise ValueError(f"{place}, {formula}: energy {energy} must be finite")
    charge = _charge(record, composition)
    problem = f"{formula} has charge {charge:+g}: only neutral compounds are allowed"
    return HullEntry(
        formula,
        energy,
        scheme,
        None if name is None else str(name),
        problem if charge else _problem(formula),
    )


def _composition(record: Mapping[str, Any]) -> Composition:
    """Composition of the cell; entries of some versions have it only in the structure."""
    if record.get("composition"):
        return Composition(record["composition"])
    amounts: dict[str, float] = {}
    for site in record["structure"]["sites"]:
        for species in site["species"]:
            symbol = species["element"]
            amounts[symbol] = amounts.get(symbol, 0.0) + float(species["occu"])
    return Composition(amounts)


def _charge(record: Mapping[str, Any], composition: Composition) -> float:
    structure = record.get("structure") or {}
    if structure.get("charge"):
        return float(structure["charge"])
    states = [
        amount * (species.oxi_state or 0.0)
        for species, amount in composition.items()
        if isinstance(species, Species)
    ]
    return round(float(sum(states)), 6)


def _scheme(record: Mapping[str, Any]) -> str | None:
    """The classes that made the adjustments, or None if there are none."""
    adjustments = record.get("energy_adjustments") or []
    names = sorted({_maker(adjustment) for adjustment in adjustments})
    if not names and float(record["correction"]) != 0:
        names = ["unnamed"]
    return " + ".join(names) or None


def _maker(adjustment: Mapping[str, Any]) -> str:
    maker = adjustment.get("cls")
    name = maker.get("@class") if isinstance(maker, dict) else None
    title = str(adjustment.get("name"))
    if name == "MaterialsProject2020Compatibility" or title.startswith(f"{MP2020} "):
        return MP2020
    return str(name or "unnamed")
