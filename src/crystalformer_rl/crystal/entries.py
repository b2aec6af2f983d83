"""Crystals of pymatgen as JSON: its entries, as in Alexandria's database, and its structures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from crystalformer_rl.crystal.labels import Value, labels_of
from crystalformer_rl.crystal.rows import Row, Source, row_of
from crystalformer_rl.crystal.structures import structure_of_record
from crystalformer_rl.stability.readers import JSON_SUFFIXES, entry_records

ID_KEYS = ("mat_id", "material_id", "id")


def open_entries(path: Path, files: Sequence[Path]) -> Source:
    """The crystals of files of ``ComputedStructureEntry`` or ``Structure``, in their order.

    One entry is in memory at a time. Labels are those of an entry's ``data``; Alexandria calls
    them ``e_form``, ``e_above_hull``, ``band_gap_ind`` and ``spg``. An entry that cannot be read is
    a row with an error, and so is one of several files if nothing in it can be read. A file that
    is damaged after its first entry is an exception: nobody knows how many crystals it had.

    Parameters
    ----------
    path
        The file, or the folder of ``files``.
    files
        ``.json``, or compressed (``.json.gz``, ``.json.bz2``, ``.json.xz``).
    """
    return Source(path, lambda: _rows(files))


def is_entries(path: Path) -> bool:
    """Whether the name is that of a JSON file, perhaps compressed."""
    return path.name.lower().endswith(JSON_SUFFIXES)


def _rows(files: Sequence[Path]) -> Iterator[Row]:
    for path in files:
        stem, count = path.name.partition(".")[0], 0
        try:
            for record in entry_records(path):
                yield _row(record, default=f"{stem}-{count}")
                count += 1
        except (OSError, ValueError) as error:
            if count or len(files) == 1:
                raise
            yield Row(f"{stem}-0", None, str(error), "unreadable")


def _row(record: Any, *, default: str) -> Row:
    if not isinstance(record, Mapping):
        return Row(default, None, "not an entry of pymatgen, but a list or a value", "unreadable")
    found = record.get("data")
    data = found if isinstance(found, Mapping) else {}
    ids = (*(data.get(key) for key in ID_KEYS), record.get("entry_id"))
    name = next((str(one) for one in ids if one is not None), default)
    return row_of(name, lambda: _structure(record), properties=_labels(data))


def _structure(record: Mapping[str, Any]) -> Structure:
    if "structure" in record:
        return structure_of_record(record["structure"])
    if {"lattice", "sites"} <= record.keys():
        return structure_of_record(record)
    raise ValueError("no structure: pymatgen's Structure or ComputedStructureEntry is needed")


def _labels(data: Mapping[str, Any]) -> Mapping[str, Value]:
    (labels,), _ = labels_of({str(name): [value] for name, value in data.items()}, 1)
    return labels
