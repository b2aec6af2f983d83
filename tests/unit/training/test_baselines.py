"""Baselines against numbers worked out by hand, and their laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.config import RLSettings
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training.baselines import BaselineState, baseline

NOTHING = BaselineState()
GROUPS = np.array([2, 225, 225])


def rewards(*values: float, abstain: tuple[bool, ...] | None = None) -> RewardBatch:
    value = np.array(values)
    away = np.zeros(len(value), dtype=bool) if abstain is None else np.array(abstain)
    return RewardBatch(value, ~away, away, {})


def test_running_starts_at_the_first_mean_and_remembers() -> None:
    settings = RLSettings(baseline="running", baseline_decay=0.95)
    found, state = baseline(NOTHING, rewards(1.0, 3.0), GROUPS[:2], settings=settings)
    assert found.tolist() == [2.0, 2.0]
    found, state = baseline(state, rewards(4.0), GROUPS[:1], settings=settings)
    assert found == pytest.approx([0.95 * 2 + 0.05 * 4])
    assert state.mean == found[0]


def test_running_leaves_abstentions_out() -> None:
    settings = RLSettings(baseline="running", baseline_decay=0.95)
    half = rewards(1.0, -9.0, abstain=(False, True))
    assert baseline(NOTHING, half, GROUPS[:2], settings=settings)[1].mean == 1.0
    nobody = rewards(-9.0, abstain=(True,))
    for before in (None, 0.5):
        found, after = baseline(BaselineState(before), nobody, GROUPS[:1], settings=settings)
        assert after.mean == before
        assert found.tolist() == [before or 0.0]


def test_leave_one_out_is_the_mean_of_the_others() -> None:
    settings = RLSettings(baseline="leave_one_out")
    batch = rewards(1.0, 2.0, 6.0, -9.0, abstain=(False, False, False, True))
    found, state = baseline(NOTHING, batch, np.array([2, 2, 2, 2]), settings=settings)
    assert found == pytest.approx([4.0, 3.5, 1.5, 3.0])
    assert state == NOTHING
    alone = rewards(5.0, -9.0, abstain=(False, True))
    assert baseline(NOTHING, alone, GROUPS[:2], settings=settings)[0].tolist() == [5.0, 5.0]


def test_space_group_is_shrunk_to_the_batch_and_decays() -> None:
    settings = RLSettings(baseline="space_group", baseline_decay=0.5, baseline_prior=2.0)
    found, state = baseline(NOTHING, rewards(1.0, 2.0, 6.0), GROUPS, settings=settings)
    assert found == pytest.approx([4.0, 3.5, 1.5])
    assert state.groups == {2: (1.0, 1), 225: (8.0, 2)}
    found, state = baseline(state, rewards(3.0, 5.0, 4.0), GROUPS, settings=settings)
    expected = [(1 + 2 * 4.5) / (1 + 2), (8 + 2 * 3.5) / (2 + 2), (8 + 2 * 4.0) / (2 + 2)]
    assert found == pytest.approx(expected)
    assert state.groups == {2: (0.5 * 1 + 3, 0.5 * 1 + 1), 225: (0.5 * 8 + 9, 0.5 * 2 + 2)}


@given(
    values=st.lists(st.floats(-10, 10), min_size=2, max_size=8),
    other=st.floats(-10, 10),
    which=st.sampled_from(["leave_one_out", "space_group"]),
    data=st.data(),
)
def test_a_baseline_does_not_depend_on_the_own_reward(
    values: list[float], other: float, which: str, data: st.DataObject
) -> None:
    settings = RLSettings(baseline=which)
    groups = np.array(data.draw(st.lists(st.sampled_from([1, 2]), min_size=8)))[: len(values)]
    _, state = baseline(NOTHING, rewards(*range(len(values))), groups, settings=settings)
    index = data.draw(st.integers(0, len(values) - 1))
    changed = [other if i == index else value for i, value in enumerate(values)]
    first, second = (
        baseline(state, rewards(*batch), groups, settings=settings)[0]
        for batch in (values, changed)
    )
    assert first[index] == pytest.approx(second[index], abs=1e-12)


def test_the_mean_advantage_is_unbiased_over_all_batches() -> None:
    """E[(r - b) g] = E[r g] - E[r] E[g] over every batch of 3 from a policy of 2 crystals."""
    settings = RLSettings(baseline="leave_one_out")
    probability, reward, score = np.array([0.3, 0.7]), np.array([1.0, 4.0]), np.array([0.7, -0.3])
    total = 0.0
    for drawn in np.ndindex(2, 2, 2):
        batch = reward[list(drawn)]
        found, _ = baseline(NOTHING, rewards(*batch), GROUPS, settings=settings)
        total += probability[list(drawn)].prod() * ((batch - found) * score[list(drawn)]).mean()
    assert probability @ score == pytest.approx(0)
    assert total == pytest.approx(probability @ (reward * score))
