"""Known properties of crystals in the columns of tables."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Value = float | str | None
# What each column is called here; the energies are in eV (per atom), the band gap in eV.
NUMBER_COLUMNS = {
    "formation_energy_per_atom": "formation_energy_per_atom",
    "energy_per_atom": "energy_per_atom",
    "e_above_hull": "e_above_hull",
    "band_gap": "band_gap",
    "spacegroup.number": "space_group",
    "space_group": "space_group",
    # Alexandria's names.
    "e_form": "formation_energy_per_atom",
    "band_gap_ind": "band_gap",
    "spg": "space_group",
}
TEXT_COLUMNS = ("potential", "prototype")
_ENERGY_BY = "energy_per_atom:"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def energy_column(potential: str) -> str:
    """The column with the energies by one potential, eV/atom; a table may have several.

    A table with ``energy_per_atom`` and ``potential`` has one energy per row.
    """
    return _ENERGY_BY + potential


def labels_of(
    columns: Mapping[str, Sequence[Any]], count: int
) -> tuple[list[dict[str, Value]], dict[str, list[str]]]:
    """Labels of each of ``count`` rows, and the values that could not be read.

    Returns
    -------
    labels
        By name, None where a value is missing or cannot be read.
    unread
        The values of each column that are neither a number nor empty.
    """
    labels: list[dict[str, Value]] = [{} for _ in range(count)]
    unread: dict[str, list[str]] = {}
    energies = {column: column for column in columns if str(column).startswith(_ENERGY_BY)}
    for column, name in (NUMBER_COLUMNS | energies).items():
        if column not in columns or (labels and name in labels[0]):
            continue
        for row, value in zip(labels, columns[column], strict=True):
            row[name] = _number(value, name)
            if row[name] is None and not is_empty(value):
                unread.setdefault(column, []).append(str(value))
    for column in TEXT_COLUMNS:
        if column in columns:
            for row, value in zip(labels, columns[column], strict=True):
                row[column] = None if is_empty(value) else str(value)
    return labels, unread


def is_empty(value: Any) -> bool:
    """Whether a cell of a table has no value."""
    if value is None or (isinstance(value, str) and value == ""):
        return True
    # NaN of Python, NumPy and pandas differ from themselves; pandas.NA does not compare at all.
    return type(value).__name__ in {"NAType", "NaTType"} or (
        isinstance(value, float | np.floating) and math.isnan(value)
    )


def texts(values: Iterable[Any]) -> list[str | None]:
    """A column as texts, None where it is empty."""
    return [None if is_empty(value) else str(value) for value in values]


def _number(value: Any, name: str) -> float | None:
    if is_empty(value) or isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number) or (name == "space_group" and number not in range(1, 231)):
        return None
    return number


def summary(unread: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each column with values that could not be read."""
    return [
        f"column {column!r}: {len(values)} values are not numbers and left empty, such as "
        + ", ".join(repr(value[:20]) for value, _ in Counter(values).most_common(3))
        for column, values in unread.items()
    ]
