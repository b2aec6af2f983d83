"""Values of the page: shares and means from the evaluation's summary, columns from its table.

All statistics come from the summary. A missing flag counts as False, so that a failed crystal
stays in every denominator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crystalformer_rl.evaluation.intervals import Interval

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Share:
    """``k`` of ``n`` with its 95 % Wilson interval (NaN where n = 0)."""

    k: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "Share":
        """A fraction of a summary."""
        return cls(int(entry["k"]), int(entry["n"]), _float(entry["low"]), _float(entry["high"]))

    @property
    def fraction(self) -> float:
        """k/n; 0 of an empty sample."""
        return self.k / self.n if self.n else 0.0


@dataclass(frozen=True)
class Mean:
    """A mean of ``n`` numbers, its 95 % interval, and their median; NaN where there is none."""

    value: float
    low: float
    high: float
    median: float
    n: int

    @property
    def interval(self) -> Interval:
        """The mean with the ends of its interval."""
        return Interval(*(None if np.isnan(x) else x for x in (self.value, self.low, self.high)))

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "Mean":
        """A mean of a summary."""
        value, low, high, median = (_float(entry[k]) for k in ("mean", "low", "high", "median"))
        return cls(value=value, low=low, high=high, median=median, n=int(entry["n"]))


def flag(table: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    """(n,) a yes-or-no column; False where it is null or the column is missing."""
    if name not in table:
        return np.zeros(len(table), dtype=bool)
    return np.array([not pd.isna(value) and bool(value) for value in table[name]], dtype=bool)


def numbers(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """(n,) a column of numbers; NaN where it is null or not a number, or the column is missing."""
    if name not in table:
        return np.full(len(table), np.nan)
    column = pd.to_numeric(table[name], errors="coerce")
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def text(table: pd.DataFrame, name: str) -> list[str | None]:
    """(n,) a column of words; None where it is null or the column is missing."""
    if name not in table:
        return [None] * len(table)
    return [None if pd.isna(value) else str(value) for value in table[name]]


def by_policy(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each policy."""
    return {str(name): table[table["policy"] == name] for name in table["policy"].unique()}


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)
