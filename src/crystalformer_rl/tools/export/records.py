"""The properties of each crystal in an export: the report's columns with one value per crystal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from crystalformer_rl.evaluation.columns import COLUMNS, Column

Value = bool | int | float | str


def scalar_columns(table: pd.DataFrame) -> list[Column]:
    """The columns of ``table`` with one value per crystal, in the order of the list of columns."""
    return [one for one in COLUMNS if one.name in table and one.type in _OF_TYPE]


def values(row: Any, columns: Sequence[Column]) -> dict[str, Value | None]:
    """The values of one crystal as Python's own, None where there is none.

    Parameters
    ----------
    row
        A row of the table, by the names of its columns.
    columns
        From :func:`scalar_columns`.
    """
    return {one.name: _value(row[one.name], one) for one in columns}


def _value(value: Any, column: Column) -> Value | None:
    if pd.isna(value) or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return _OF_TYPE[column.type](value)


_OF_TYPE: dict[str, type[Value]] = {"text": str, "flag": bool, "integer": int, "number": float}
