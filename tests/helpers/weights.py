"""Comparison of two trainings that differ in rounding only."""

from collections.abc import Mapping

import numpy as np


def assert_same_training(
    found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], tolerance: float = 1e-3
) -> None:
    """Each tensor differs from the expected one by at most `tolerance` of its norm.

    Single elements are no measure: Adam divides by the gradient's own size, so that an element
    whose gradient is zero but for rounding moves by a learning rate in either direction.
    """
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        difference = np.linalg.norm(found[name] - values)
        assert difference <= tolerance * np.linalg.norm(values), name
