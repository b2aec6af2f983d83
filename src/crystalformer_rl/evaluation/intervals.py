"""95 % intervals of fractions, of means, and of their differences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its interval; None where there are too few values for it."""

    estimate: float | None
    low: float | None
    high: float | None


def wilson(successes: int, trials: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Wilson score interval of a fraction (Wilson, J. Am. Stat. Assoc. 22, 209 (1927)).

    It stays within [0, 1] and keeps its coverage for few successes. Without trials, all three
    values are None.

    Raises
    ------
    ValueError
        If not 0 ≤ ``successes`` ≤ ``trials``.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must be between 0 and {trials}, got {successes}")
    if trials == 0:
        return Interval(None, None, None)
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(successes / trials, float(interval.low), float(interval.high))


def fraction(successes: int, total: int) -> dict[str, int | float | None]:
    """A fraction as in the summary: counts, estimate and the interval of :func:`wilson`."""
    interval = wilson(successes, total)
    return {
        "k": successes,
        "n": total,
        "fraction": interval.estimate,
        "low": interval.low,
        "high": interval.high,
    }


def weighted_fraction(
    strata: Sequence[tuple[float, int, int]], *, confidence: float = CONFIDENCE
) -> Interval:
    """Σ w k/n / Σ w over strata of (weight w, successes k, trials n), independent samples.

    The ends are those of Zou, Huang and Zhang (Comput. Stat. Data Anal. 53, 1080 (2009)) from
    Wilson's interval of each stratum. With one stratum they are Wilson's, and for a difference of
    two they would be Newcombe's. Strata without trials do not count. All three values are None if
    no stratum counts.
    """
    counted = [stratum for stratum in strata if stratum[0] and stratum[2]]
    if not counted:
        return Interval(None, None, None)
    shares = np.array([weight for weight, _, _ in counted]) / sum(w for w, _, _ in counted)
    parts = [wilson(k, n, confidence=confidence) for _, k, n in counted]
    values = np.array([[part.estimate, part.low, part.high] for part in parts], dtype=np.float64)
    estimate, low, high = values.T
    center = float(shares @ estimate)
    below = np.linalg.norm(shares * (estimate - low))
    above = np.linalg.norm(shares * (high - estimate))
    return Interval(center, center - float(below), center + float(above))


def mean_interval(values: ArrayLike, *, confidence: float = CONFIDENCE) -> Interval:
    """Mean with Student's t interval.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{(~np.isfinite(numbers)).sum()} of {numbers.size} values are not finite")
    if numbers.size == 0:
        return Interval(None, None, None)
    mean = float(numbers.mean())
    if numbers.size == 1:
        return Interval(mean, None, None)
    error = float(numbers.std(ddof=1)) / np.sqrt(numbers.size)
    half = float(stats.t.ppf((1 + confidence) / 2, numbers.size - 1) * error)
    return Interval(mean, mean - half, mean + half)


def difference_of_fractions(
    first: tuple[int, int], second: tuple[int, int], *, confidence: float = CONFIDENCE
) -> Interval:
    """First minus second fraction, each as (successes, trials), of independent samples.

    Newcombe's hybrid score interval (Stat. Med. 17, 873 (1998), method 10), from Wilson's intervals
    of the two. All three values are None without trials in either.
    """
    one, two = wilson(*first, confidence=confidence), wilson(*second, confidence=confidence)
    if one.estimate is None or two.estimate is None:
        return Interval(None, None, None)
    assert one.low is not None and one.high is not None
    assert two.low is not None and two.high is not None
    difference = one.estimate - two.estimate
    below = np.hypot(one.estimate - one.low, two.high - two.estimate)
    above = np.hypot(one.high - one.estimate, two.estimate - two.low)
    return Interval(difference, float(difference - below), float(difference + above))


def difference_of_means(
    first: tuple[Interval, int], second: tuple[Interval, int], *, confidence: float = CONFIDENCE
) -> Interval:
    """First minus second mean, each as (:func:`mean_interval`, number of values).

    Welch's interval (Biometrika 34, 28 (1947)): independent samples, of any variances. The ends are
    None where a mean has no interval, all values where there is no mean.
    """
    (one, number), (two, other) = first, second
    if one.estimate is None or two.estimate is None:
        return Interval(None, None, None)
    difference = one.estimate - two.estimate
    if one.high is None or two.high is None:
        return Interval(difference, None, None)
    quantile, freedom = (1 + confidence) / 2, np.array([number - 1, other - 1])
    halves = np.array([one.high - one.estimate, two.high - two.estimate])
    variances = (halves / stats.t.ppf(quantile, freedom)) ** 2
    total = float(variances.sum())
    if not total:
        return Interval(difference, difference, difference)
    welch = total**2 / float((variances**2 / freedom).sum())
    half = float(stats.t.ppf(quantile, welch)) * total**0.5
    return Interval(difference, difference - half, difference + half)
