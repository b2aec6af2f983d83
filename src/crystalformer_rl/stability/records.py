"""pymatgen's entries as JSON: the layouts of the files, and the energy of a record."""

import codecs
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, cast

import ijson
import numpy as np
from pymatgen.core import Composition, Species

from crystalformer_rl.encoding import encoding_of
from crystalformer_rl.signatures import START, signature
from crystalformer_rl.stability.corrections import MP2020, TRI2024
from crystalformer_rl.stability.elements import element_amounts, parse_formula
from crystalformer_rl.stability.entries import HullEntry
from crystalformer_rl.stability.functionals import NAMES, stated_functional

# Python writes these words for numbers that JSON does not have.
_NOT_FINITE = re.compile(rb"(^|(?<=[:,\[]))(\s*)(?:NaN|-?Infinity)(?=\s*[,}\]])")
_ENDS = b",}]"
# Keys that only an entry has, not an object that contains entries.
_ENTRY_KEYS = frozenset({"@module", "@class", "energy", "composition", "entry_id"})
# Ids of the Materials Project's clients end in the run type.
_END_OF_ID = re.compile(rf"-({NAMES})$", re.IGNORECASE)
_RUN_TYPE = re.compile(NAMES, re.IGNORECASE)
# eV per cell.
_SAME_CORRECTION = 0.01


class _Text:
    """A stream of UTF-8 JSON without a byte order mark, in which NaN and infinities are null."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        # ijson first asks for nothing, to see of which type it is.
        if size == 0 or not (
            b"NaN" in chunk or b"Infinity" in chunk or chunk[-1:].isalpha() or chunk.endswith(b"-")
        ):
            return chunk
        while chunk[-1:] not in _ENDS and (more := self._stream.read(1)):
            chunk += more
        return _NOT_FINITE.sub(rb"\1\2null", chunk)


def records(stream: BinaryIO, *, compressed: bool) -> Iterator[Any]:
    """The entries of a JSON file, one at a time.

    The layouts are an array of entries; an object with such an array under ``entries`` (Alexandria)
    or ``data``; an object with an entry under each id; an entry on each line; and, in any of these,
    documents of the Materials Project, which have entries under ``entries`` by run type.

    Raises
    ------
    ValueError
        If the file is an LFS pointer, an HTML page or an archive.
    """
    start = stream.read(START)
    if compressed and start.startswith(b"\x1f\x8b"):
        raise ValueError("it is compressed twice: decompress it once")
    if another := signature(start):
        raise ValueError(f"it is {another}")

    def text() -> BinaryIO:
        stream.seek(0)
        encoding = encoding_of(start)
        if encoding == "utf-8-sig":
            stream.seek(len(codecs.BOM_UTF8))
        elif encoding is not None:
            return cast(BinaryIO, _Text(codecs.EncodedFile(stream, "utf-8", encoding)))
        return cast(BinaryIO, _Text(stream))

    layout = _layout(text())
    if layout is None:
        return
    if layout == "by id":
        found: Iterator[Any] = (value for _, value in ijson.kvitems(text(), "", use_float=True))
    else:
        found = ijson.items(text(), layout, use_float=True, multiple_values=layout == "")
    for item in found:
        inner = item.get("entries") if isinstance(item, Mapping) else None
        if isinstance(inner, Mapping):
            thermo = {"thermo_type": item["thermo_type"]} if "thermo_type" in item else {}
            for name, entry in inner.items():
                stated = {"run_type": name} if _RUN_TYPE.fullmatch(name) else {}
                yield {**thermo, **stated, **entry} if isinstance(entry, Mapping) else entry
        elif isinstance(inner, list):
            yield from inner
        else:
            yield item


def _layout(stream: BinaryIO) -> str | None:
    """The path of the entries in ijson's notation, or ``by id``; None for no entries."""
    key, depth, first = "", 0, None
    for event, value in ijson.basic_parse(stream, use_float=True, multiple_values=True):
        if first is None:
            first = event
        if first == "start_array":
            return "item"
        if event == "map_key" and depth == 1:
            key = value
            if key in _ENTRY_KEYS:
                return ""
        elif event == "map_key" and depth == 2 and value in _ENTRY_KEYS:
            return "by id"
        elif event == "start_array" and depth == 1 and key in ("entries", "data"):
            return f"{key}.item"
        elif event == "start_map" and depth == 1 and key == "entries":
            return ""
        depth += event in ("start_map", "start_array")
        depth -= event in ("end_map", "end_array")
    return None


def entry_of(record: Any, *, place: str) -> HullEntry:
    """The entry of a record; with a ``problem``, and NaN for the energy, if it cannot be read."""
    name: str | None = None
    run_type: str | None = None
    formula = ""
    try:
        _refuse_without(record, "energy")
        data = record.get("data") or {}
        ids = (record.get("entry_id"), data.get("material_id"), data.get("mat_id"))
        name = next((str(one) for one in ids if one is not None), None)
        run_type = _run_type(record, name)
        composition = _composition(record)
        amounts = element_amounts(composition)
        formula = Composition(amounts).reduced_formula
        energy = _number(record["energy"]) / sum(amounts.values())
        if not np.isfinite(energy):
            reason = f"{formula}: energy {energy} must be finite"
            return HullEntry(formula, np.nan, None, name, reason, run_type, place)
        energy += _correction(record) / sum(amounts.values())
        charge = _charge(record, composition)
        scheme = _scheme(record)
    except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        why = "the composition has no atoms" if isinstance(error, ZeroDivisionError) else error
        reason = f"not a ComputedEntry of pymatgen: {type(error).__name__}: {why}"
        return HullEntry(formula, np.nan, None, name, reason, run_type, place)
    problem: str | None = None
    if charge:
        problem = f"{formula} has charge {charge:+g}: only neutral compounds are allowed"
    else:
        try:
            parse_formula(formula)
        except ValueError as error:
            problem = str(error)
    return HullEntry(formula, energy, scheme, name, problem, run_type, place)


def _number(value: Any) -> float:
    """A number, also as text or as numpy's arrays without dimensions are written; None is NaN."""
    if isinstance(value, Mapping) and "data" in value:
        value = value["data"]
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, bool):
        raise TypeError(f"{value} is not a number")
    return np.nan if value is None else float(value)


def _run_type(record: Mapping[str, Any], name: str | None) -> str | None:
    parameters = record.get("parameters") or {}
    stated = stated_functional((record, parameters, record.get("data") or {}))
    if stated is not None:
        return stated
    if parameters.get("is_hubbard") or any((parameters.get("hubbards") or {}).values()):
        return "GGA+U"
    suffix = _END_OF_ID.search(name or "")
    return suffix[1] if suffix else None


def _correction(record: Mapping[str, Any]) -> float:
    """The correction of the cell, eV: that stated, or as in pymatgen the sum of the adjustments.

    Raises
    ------
    ValueError
        If there is neither, or both differ.
    """
    stated = record.get("correction")
    adjustments = record.get("energy_adjustments")
    if stated is None and adjustments is None:
        raise ValueError(
            "it has neither correction nor energy_adjustments (a PDEntry has none), so that it is "
            "unknown whether its energy is corrected"
        )
    total = _sum(adjustments or [])
    if total is None:
        if stated is None:
            raise ValueError("its energy_adjustments are of an unknown kind")
        return _number(stated)
    if stated is None or (adjustments and _number(stated) == 0):
        return total
    if adjustments and abs(_number(stated) - total) > _SAME_CORRECTION:
        raise ValueError(
            f"its correction is {_number(stated):g} eV, but its energy_adjustments add up to "
            f"{total:g} eV"
        )
    return _number(stated)


def _sum(adjustments: list[Mapping[str, Any]]) -> float | None:
    """Sum of energy adjustments, eV per cell; None if one is of an unknown kind."""
    total = 0.0
    for adjustment in adjustments:
        match adjustment:
            case {"value": value} if value is not None:
                total += _number(value)
            case {"adj_per_atom": value, "n_atoms": atoms}:
                total += _number(value) * _number(atoms)
            case {"adj_per_deg": value, "n_atoms": atoms, "temp": temperature}:
                total += _number(value) * _number(atoms) * _number(temperature)
            case _:
                return None
    return total


def _refuse_without(record: Any, *keys: str) -> None:
    if not isinstance(record, Mapping):
        raise TypeError(f"{str(record)[:40]!r} is not an object")
    if not any(key in record for key in keys):
        raise ValueError(f"it has no {' or '.join(keys)}; it has {', '.join(record)[:80]}")


def _composition(record: Mapping[str, Any]) -> Composition:
    """Composition of the cell; entries of some versions have it only in the structure."""
    _refuse_without(record, "composition", "structure")
    if "composition" in record and (record["composition"] or "structure" not in record):
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
    if not names and _correction(record) != 0:
        names = ["unnamed"]
    return " + ".join(names) or None


def _maker(adjustment: Mapping[str, Any]) -> str:
    maker = adjustment.get("cls")
    name = maker.get("@class") if isinstance(maker, dict) else None
    title = str(adjustment.get("name"))
    if name == "MaterialsProject2020Compatibility" or title.startswith(f"{MP2020} "):
        return MP2020
    if name == "TRI110Compatibility2024" or title in ("TRI110PBE", "TRI110PBE_U"):
        return TRI2024
    return str(name or "unnamed")
