"""Distances of distributions, against scipy and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crystalformer_rl.evaluation.distributions import chi_squared, distances, wasserstein


def test_chi_squared_equals_scipy_and_leaves_out_kinds_that_are_unknown() -> None:
    reference = {225: 50, 62: 30, 1: 20}
    values = [225] * 6 + [62] * 4 + [230] * 9
    theirs = stats.chisquare([0.6, 0.4, 0.0], f_exp=[0.5, 0.3, 0.2]).statistic
    assert chi_squared(values, reference) == pytest.approx(theirs)
    assert chi_squared([225, 225, 62], {225: 2, 62: 1}) == pytest.approx(0)
    assert chi_squared([230], reference) is None
    assert chi_squared([], reference) is None


def test_wasserstein_of_shifted_samples_is_the_shift() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert wasserstein(values + 0.7, values) == pytest.approx(0.7)
    assert wasserstein([], values) is None


def test_the_expected_chi_squared_is_the_mean_over_samples_of_the_reference() -> None:
    random, shares = np.random.default_rng(0), np.array([0.5, 0.3, 0.15, 0.05])
    reference = dict(enumerate((1000 * shares).astype(int).tolist(), start=1))
    found = [chi_squared(random.choice(4, 20, p=shares) + 1, reference) or 0.0 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(3 / 20, rel=0.1)


def test_distances_are_over_the_valid_crystals() -> None:
    known = pd.DataFrame(
        {
            "density": [2.0, 3.0],
            "num_elements": [2, 2],
            "space_group": pd.array([225, 62], dtype="Int64"),
        }
    )
    rows = pd.DataFrame(
        {
            "valid": [True, True, False],
            "density": [3.0, 4.0, 99.0],
            "numbers": [[11, 17], [11, 17, 8], [1]],
            "space_group": pd.array([225, 62, None], dtype="Int64"),
            "relaxed_space_group": pd.array([225, 225, None], dtype="Int64"),
        }
    )
    found = distances(rows, known)
    assert found.crystals == 2
    assert found.density == pytest.approx(1.0)
    assert found.num_elements == pytest.approx(0.5)
    assert found.space_groups == pytest.approx(0)
    assert found.expected_space_groups == 0.5
    assert found.relaxed_space_groups == pytest.approx(1.0)
    nothing = distances(rows[2:], known)
    assert (nothing.crystals, nothing.density, nothing.space_groups) == (0, None, None)
