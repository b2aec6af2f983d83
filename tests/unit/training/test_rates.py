"""Schedules of the learning rate."""

import pytest

from crystalformer_rl.training.rates import half_cosine, warm_up


def test_warm_up() -> None:
    assert [warm_up(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert warm_up(0, 0) == 1.0


def test_half_a_cosine() -> None:
    assert [half_cosine(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
