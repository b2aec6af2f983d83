"""Intervals, against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crystalformer_rl.evaluation.intervals import (
    Interval,
    difference_of_fractions,
    difference_of_means,
    mean_interval,
    weighted_fraction,
    wilson,
)


@given(trials=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilsons_bounds_are_where_the_score_test_rejects(trials: int, share: float) -> None:
    """A bound p solves |k/n - p| = z sqrt(p (1 - p) / n), unless it is the end of [0, 1]."""
    successes = round(share * trials)
    ours = wilson(successes, trials)
    z = stats.norm.ppf(0.975)
    assert ours.estimate == successes / trials
    for bound in (ours.low, ours.high):
        assert bound is not None
        distance = (ours.estimate - bound) ** 2
        assert distance == pytest.approx(z**2 * bound * (1 - bound) / trials, abs=1e-12)
    assert ours.low is not None and ours.high is not None
    assert 0 <= ours.low <= successes / trials <= ours.high <= 1


def test_no_trials_no_interval() -> None:
    assert wilson(0, 0) == Interval(None, None, None)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"between 0 and 3, got {successes}"):
        wilson(successes, trials)


def test_mean_equals_scipy() -> None:
    values = np.random.default_rng(0).normal(3, 2, 17)
    ours = mean_interval(values)
    theirs = stats.t.interval(0.95, 16, loc=values.mean(), scale=stats.sem(values))
    assert ours.estimate == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx(theirs)


def test_mean_of_few_values() -> None:
    assert mean_interval([]) == Interval(None, None, None)
    assert mean_interval([2.0]) == Interval(2.0, None, None)
    with pytest.raises(ValueError, match="1 of 2 values are not finite"):
        mean_interval([1.0, np.nan])


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_difference_of_fractions(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """The examples of Newcombe (1998), table II, method 10."""
    found = difference_of_fractions(first, second)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    turned = difference_of_fractions(second, first)
    assert (turned.low, turned.high) == pytest.approx((-high, -low), abs=5e-5)


def test_difference_of_means_equals_scipy() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(3, 2, 17), random.normal(1, 5, 40)
    ours = difference_of_means((mean_interval(first), 17), (mean_interval(second), 40))
    theirs = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert ours.estimate == pytest.approx(first.mean() - second.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_differences_of_too_few_values() -> None:
    one, many, none = mean_interval([2.0]), mean_interval([1.0, 1.0]), mean_interval([])
    assert difference_of_means((one, 1), (many, 2)) == Interval(1.0, None, None)
    assert difference_of_means((none, 0), (many, 2)) == Interval(None, None, None)
    assert difference_of_means((many, 2), (many, 2)) == Interval(0.0, 0.0, 0.0)
    assert difference_of_fractions((0, 0), (1, 2)) == Interval(None, None, None)


def test_a_weighted_fraction_of_one_stratum_is_wilsons() -> None:
    ours, theirs = weighted_fraction([(3.0, 4, 10), (0.0, 9, 9), (2.0, 0, 0)]), wilson(4, 10)
    assert (ours.estimate, ours.low, ours.high) == pytest.approx(
        (theirs.estimate, theirs.low, theirs.high)
    )
    assert weighted_fraction([(1.0, 0, 0)]) == Interval(None, None, None)


def test_weighted_fractions_cover_the_true_value() -> None:
    """Of 2,000 samples from known fractions, 95 % of the intervals hold the weighted fraction."""
    generator = np.random.default_rng(0)
    weights, truth, trials = np.array([5.0, 3.0, 1.0]), np.array([0.1, 0.4, 0.8]), [100, 50, 30]
    expected = weights @ truth / weights.sum()
    found = [
        weighted_fraction(list(zip(weights, draw.tolist(), trials, strict=True)))
        for draw in generator.binomial(trials, truth, size=(2000, 3))
    ]
    inside = [one.low <= expected <= one.high for one in found]  # type: ignore[operator]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
    assert np.mean([one.estimate for one in found]) == pytest.approx(expected, abs=0.002)
