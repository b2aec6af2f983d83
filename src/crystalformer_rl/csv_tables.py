"""CSV files as people write them: other separators, other encodings, rows of another length."""

import bz2
import csv
import gzip
import io
import lzma
import re
import sys
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystalformer_rl.encoding import decoded
from crystalformer_rl.signatures import explained

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_SEPARATORS = (",", ";", "\t", "|")
# The line with which Excel names the separator of the lines below.
_NAMED = re.compile(r"sep=.\n")
_JSON = re.compile(r"\s*(?:\[\s*\{|\{\s*\")")


@dataclass(frozen=True)
class Table:
    """Columns of a table, what is wrong with rows that do not fit them, and the separator.

    ``faults`` are by row, counted from 0.
    """

    columns: dict[str, list[Any]]
    faults: dict[int, str]
    separator: str = ","

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))


def load_csv(path: Path, *, names: Collection[str], last_line_ends: bool = False) -> Table:
    """Read a CSV file, perhaps compressed (``.gz``, ``.bz2``, ``.xz``).

    Parameters
    ----------
    path
        Of the file.
    names
        Columns of which the file has one: they show what separates the fields.
    last_line_ends
        Refuse a file whose last line has no end, because it may be truncated.

    Raises
    ------
    ValueError
        If the file is truncated, damaged or not text, or has a column twice.
    """
    # CIFs of large crystals are longer than the module's limit of 131,072 characters.
    csv.field_size_limit(sys.maxsize)
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as stream:  # type: ignore[operator]
            data = stream.read()
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        reason = explained(path, f"is it truncated? {error}", compressed=path.suffix in _OPENERS)
        raise ValueError(f"{path}: cannot be read as CSV: {reason}") from error
    try:
        text = decoded(data)
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as CSV: {error}") from error
    # Old programs of the Macintosh end lines by a carriage return alone.
    ends = "\n" if "\n" in text else "\r"
    if last_line_ends and text.strip() and not text.endswith(ends):
        raise ValueError(
            f"{path}: ends within line {text.count(ends) + 1}: it is truncated or lacks its "
            "last line end"
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ValueError(f"{path}: cannot be read as CSV: the file is empty")
    if _JSON.match(text):
        raise ValueError(f"{path}: cannot be read as CSV: it is JSON")
    text = _NAMED.sub("", text, count=1) if _NAMED.match(text) else text
    separator = _separator(text, names)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        header, *rows = [row for row in reader if row]
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"{path}: cannot be read as CSV: is it truncated? {type(error).__name__}: {error}"
        ) from error
    if repeated := sorted({name for name in header if name and header.count(name) > 1}):
        named = ", ".join(name[:40] for name in repeated[:10])
        raise ValueError(f"{path}: the header has columns twice: [{named}]")
    faults = {
        place: f"the row has {len(row)} fields, the header has {len(header)}"
        for place, row in enumerate(rows)
        if len(row) != len(header)
    }
    width = len(header)
    filled = [row[:width] + [""] * (width - len(row)) for row in rows]
    columns = {name: [row[place] for row in filled] for place, name in enumerate(header)}
    return Table(columns, faults, separator)


def _separator(text: str, names: Collection[str]) -> str:
    """The separator of the fields of the header: the one that gives a column of names."""
    header = text.split("\n", 1)[0].lower()
    wanted = {name.lower() for name in names}
    for separator in _SEPARATORS:
        if wanted & {name.strip('" ') for name in header.split(separator)}:
            return separator
    return ","
