"""95 % intervals of fractions and of means."""

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
