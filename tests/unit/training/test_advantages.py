"""Advantages against the formula, and their invariance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.config import RLSettings
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training.advantages import advantages

NUMBERS = st.lists(st.floats(-10, 10), min_size=3, max_size=10)


def found(
    values: np.ndarray,
    *,
    abstain: np.ndarray | None = None,
    ratio: np.ndarray | None = None,
    discrete: np.ndarray | None = None,
    baseline: float = 0.0,
    tau: float = 0.0,
    **settings: float | str | None,
) -> np.ndarray:
    zero = np.zeros(len(values))
    away = zero > 0 if abstain is None else abstain
    return advantages(
        RewardBatch(values, ~away, away, {}),
        zero if ratio is None else ratio,
        zero if discrete is None else discrete,
        baseline=zero + baseline,
        tau=tau,
        settings=RLSettings(**settings),
    )


def test_raw_formula() -> None:
    gain = found(
        np.array([1.0, -2.0, -9.0]),
        abstain=np.array([False, False, True]),
        ratio=np.array([0.5, -1.0, 2.0]),
        baseline=0.25,
        tau=0.1,
        weight=3.0,
        preset="paper",
    )
    assert gain == pytest.approx([3 * 0.75 - 0.05, 3 * -2.25 + 0.1, -0.2])


def test_standardised_formula() -> None:
    values = np.array([1.0, 2.0, 6.0, -9.0])
    gain = found(
        values,
        abstain=np.array([False, False, False, True]),
        ratio=np.array([0.0, 1.0, -1.0, 2.0]),
        baseline=2.0,
        tau=0.1,
        weight=2.0,
        advantage="standardised",
        advantage_clip=1.5,
    )
    spread = np.sqrt((1 + 0 + 16) / 3 - 1)
    cut = (4 / spread - 1.5) / 3
    scaled = np.array([-1 / spread, 0, 1.5]) + cut
    assert gain == pytest.approx([*(2 * scaled - 0.1 * np.array([0.0, 1.0, -1.0])), -0.2])


@given(NUMBERS, st.floats(0.1, 3))
def test_the_clip_does_not_favour_those_from_which_the_reward_abstains(
    numbers: list[float], clip: float
) -> None:
    """Their gain is 0, and so is the mean of the others, however skewed the reward is."""
    values = np.append(numbers, 7.0)
    abstain = np.arange(len(values)) == len(numbers)
    gain = found(
        values,
        abstain=abstain,
        baseline=float(np.mean(numbers)),
        advantage="standardised",
        advantage_clip=clip,
    )
    assert gain[abstain] == [0]
    assert gain[~abstain].mean() == pytest.approx(0, abs=1e-6)


def test_a_constant_reward_has_no_advantage() -> None:
    assert not found(np.full(3, 0.7), baseline=0.5).any()
    nobody = np.ones(3, dtype=bool)
    assert not found(np.full(3, 0.7), abstain=nobody).any()


@given(NUMBERS, st.floats(0.01, 100), st.floats(-10, 10))
def test_standardised_does_not_know_the_unit_of_the_reward(
    numbers: list[float], scale: float, shift: float
) -> None:
    values = np.array(numbers)
    if values.std() < 1e-3:
        return
    one, other = (
        found(batch, baseline=float(batch.mean()), advantage="standardised")
        for batch in (values, scale * values + shift)
    )
    assert one == pytest.approx(other, abs=1e-6)


def test_entropy_favours_the_improbable_and_has_no_mean() -> None:
    gain = found(np.zeros(3), discrete=np.array([-1.0, -2.0, -6.0]), entropy=0.5)
    assert gain == pytest.approx([-1.0, -0.5, 1.5])


def test_the_entropy_term_is_the_gradient_of_the_entropy() -> None:
    """For a categorical p: dH/dtheta_k = -p_k (ln p_k + H), as the score function gives it."""
    p = np.array([0.2, 0.5, 0.3])
    entropy = -(p * np.log(p)).sum()
    weights = -np.log(p) - entropy
    scores = np.eye(3) - p
    assert (p * weights) @ scores == pytest.approx(-p * (np.log(p) + entropy))
