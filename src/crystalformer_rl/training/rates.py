"""Schedules of the learning rate, as factors from 0 to 1."""

import math


def warm_up(step: int, steps: int) -> float:
    """Linear rise to 1 over the first ``steps``; ``step`` counts from 0."""
    return min(1.0, (step + 1) / max(steps, 1))


def half_cosine(done: float) -> float:
    """Fall from 1 to 0 along half a cosine; ``done`` is the completed share, from 0 to 1."""
    return (1 + math.cos(math.pi * done)) / 2
