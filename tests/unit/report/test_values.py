"""Columns of a table as arrays, and intervals."""

import numpy as np
import pandas as pd

from crystalformer_rl.evaluation.intervals import Interval
from crystalformer_rl.report.values import Mean, flag, numbers


def test_flags_count_null_and_missing_as_no() -> None:
    frame = pd.DataFrame({"a": [True, None, np.nan, False]}, dtype=object)
    assert flag(frame, "a").tolist() == [True, False, False, False]
    assert flag(frame, "b").tolist() == [False] * 4
    nullable = pd.DataFrame({"a": pd.array([True, None], dtype="boolean")})
    assert flag(nullable, "a").tolist() == [True, False]


def test_numbers_of_nulls_and_missing_columns_are_nan() -> None:
    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64")})
    assert numbers(frame, "a")[0] == 1
    assert np.isnan(numbers(frame, "a")[1])
    assert np.isnan(numbers(frame, "b")).all()


def test_a_mean_without_ends_has_an_interval_without_ends() -> None:
    nan = float("nan")
    one = Mean(value=1.0, low=nan, high=nan, median=1.0, n=1)
    assert one.interval == Interval(1.0, None, None)
