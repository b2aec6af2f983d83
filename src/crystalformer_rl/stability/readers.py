"""Read reference energies from files: CSV of formation energies, pymatgen's entries as JSON."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import ijson
import numpy as np
import pandas as pd
from pymatgen.core import Composition, Species

from crystalformer_rl.stability.elements import element_amounts, parse_formula
from crystalformer_rl.stability.entries import MP2020, UNSTATED, Entry

CSV_COLUMNS = ("formula", "formation_energy_per_atom")
DAMAGED_CSV = (
    EOFError, UnicodeError, lzma.LZMAError, zlib.error,
    pd.errors.ParserError, pd.errors.EmptyDataError,
)  # fmt: skip
DAMAGED_JSON = (EOFError, OSError, UnicodeError, lzma.LZMAError, zlib.error, ijson.JSONError)
_OPENERS: Mapping[str, Callable[..., Any]] = {
    ".json": open, ".json.gz": gzip.open, ".json.bz2": bz2.open, ".json.xz": lzma.open,
}  # fmt: skip


def read_csv(path: Path) -> list[Entry]:
    """Formation energies, eV/atom with the elements at 0, from a CSV, plain or compressed.

    Columns ``formula`` and ``formation_energy_per_atom``; optional ``material_id`` or ``id``, and
    ``scheme``, the corrections behind the energy (``MP2020``). A formula that is unreadable or
    charged is a problem of its row.

    Raises
    ------
    ValueError
        If the file cannot be read or lacks a column, or an energy is not a finite number.
    """
    # Without keep_default_na=False pandas would take sodium nitride, NaN, for a missing value.
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype="str")
    except DAMAGED_CSV as error:
        raise ValueError(f"{path}: cannot be read as CSV: {error}") from error
    if missing := [name for name in CSV_COLUMNS if name not in table.columns]:
        raise ValueError(f"{path}: columns {missing} are missing; it has {list(table.columns)}")
    energies = pd.to_numeric(table["formation_energy_per_atom"], errors="coerce").to_numpy()
    if not np.isfinite(energies).all():
        row = int(np.flatnonzero(~np.isfinite(energies))[0])
        value = table["formation_energy_per_atom"].iloc[row]
        raise ValueError(
            f"{path}: row {row + 1}, {table['formula'].iloc[row]}: formation_energy_per_atom "
            f"{value!r} must be a finite number"
        )
    nothing = [None] * len(table)
    ids = table.get("material_id", table.get("id", nothing))
    schemes = table.get("scheme", nothing)
    return [
        Entry(formula, energy, scheme or UNSTATED, name, _problem(formula))
        for formula, energy, scheme, name in zip(
            table["formula"], energies.tolist(), schemes, ids, strict=True
        )
    ]


def read_entries(path: Path) -> Iterator[Entry]:
    """Total energies, eV/atom with their corrections, from pymatgen's entries as JSON.

    The file (``.json``, or compressed: ``.json.gz``, ``.json.bz2``, ``.json.xz``) holds an array
    of ``ComputedEntry`` or ``ComputedStructureEntry`` dictionaries, or an object with such an array
    under ``entries``, as Alexandria publishes its hulls. It is read entry by entry, never whole,
    and structures are dropped. A charged entry is a problem of its own.

    Raises
    ------
    ValueError
        If the file is cut or damaged, or something in the array is no entry; with the place.
    """
    opener = next((o for suffix, o in _OPENERS.items() if path.name.endswith(suffix)), None)
    if opener is None:
        raise ValueError(f"{path}: unknown kind of file; allowed: {', '.join(_OPENERS)}")
    count = 0
    with opener(path, "rb") as stream:
        try:
            for record in _records(stream):
                count += 1
                yield _entry(record, place=f"{path}: entry {count}")
        except DAMAGED_JSON as error:
            what = str(error).splitlines()[0] if str(error) else "no message"
            raise ValueError(
                f"{path}: cut or damaged after {count} entries, before byte {stream.tell()} of its "
                f"text: {type(error).__name__}: {what}"
            ) from error
    if not count:
        raise ValueError(f'{path}: no entries; it must be an array, or an object with "entries"')


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


def _entry(record: Any, *, place: str) -> Entry:
    try:
        composition = _composition(record)
        amounts = element_amounts(composition)
        energy = (float(record["energy"]) + float(record["correction"])) / sum(amounts.values())
        data = record.get("data") or {}
        name = record.get("entry_id") or data.get("material_id") or data.get("mat_id")
        scheme = _scheme(record)
    except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(
            f"{place}: not an entry of pymatgen: {type(error).__name__}: {error}"
        ) from error
    formula = Composition(amounts).reduced_formula
    if not np.isfinite(energy):
        raise ValueError(f"{place}, {formula}: energy {energy} must be finite")
    charge = _charge(record, composition)
    problem = f"{formula} has charge {charge:+g}: only neutral compounds are allowed"
    return Entry(
        formula,
        energy,
        scheme,
        None if name is None else str(name),
        problem if charge else _problem(formula),
    )


def _composition(record: Mapping[str, Any]) -> Composition:
    """Of the cell; entries of some versions have it in the structure alone."""
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
    """Classes that made the adjustments, or None where there are none."""
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
