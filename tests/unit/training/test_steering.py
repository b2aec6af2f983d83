"""Steering of the KL penalty, and the learning rate."""

import pytest

from crystalformer_rl.config import RLSettings
from crystalformer_rl.training.steering import learning_rate, next_tau


@pytest.mark.parametrize(
    ("kl", "factor"), [(5.0, 1.0), (5.5, 1.01), (4.5, 0.99), (100.0, 1.02), (0.0, 0.98)]
)
def test_tau_follows_the_target(kl: float, factor: float) -> None:
    assert next_tau(0.2, kl, settings=RLSettings(target_kl=5.0)) == pytest.approx(0.2 * factor)


def test_tau_is_constant_without_a_target() -> None:
    assert next_tau(0.2, 99.0, settings=RLSettings()) == 0.2


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.1, 0.1, 0.1, 0.1]),
        ("linear", [0.1, 0.075, 0.05, 0.025]),
        ("cosine", [0.1, 0.0853553, 0.05, 0.0146447]),
    ],
)
def test_learning_rate_over_a_round(schedule: str, expected: list[float]) -> None:
    settings = RLSettings(
        steps=4, learning_rate=0.1, learning_rate_schedule=schedule, warmup_steps=0
    )
    found = [learning_rate(step, settings=settings) for step in range(4)]
    assert found == pytest.approx(expected, rel=1e-5)


def test_warm_up() -> None:
    settings = RLSettings(steps=8, learning_rate=0.1, warmup_steps=4)
    found = [learning_rate(step, settings=settings) for step in range(6)]
    assert found == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
