"""How often each space group is drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.model.constraints import Constraints, unconstrained
from crystalformer_rl.model.prompts import prompt_probabilities, sample_space_groups

HISTOGRAM = np.zeros(231, dtype=int)
HISTOGRAM[[2, 62, 225]] = 1, 2, 5
NOTHING = np.zeros(231, dtype=int)


def test_as_often_as_in_training() -> None:
    found = prompt_probabilities(HISTOGRAM, None, "training")
    assert found[[2, 62, 225]].tolist() == [1 / 8, 2 / 8, 5 / 8]
    named = prompt_probabilities(HISTOGRAM, [62, 225, 1], "training")
    assert named[[1, 62, 225]].tolist() == [0, 2 / 7, 5 / 7]
    unseen = prompt_probabilities(HISTOGRAM, [3, 4], "training")
    assert unseen[[3, 4]].tolist() == [0.5, 0.5]


def test_uniform() -> None:
    everything = prompt_probabilities(NOTHING, None, "uniform")
    assert everything[0] == 0
    assert np.allclose(everything[1:], 1 / 230)
    assert prompt_probabilities(HISTOGRAM, [2, 225], "uniform")[[2, 225]].tolist() == [0.5, 0.5]


def test_no_histogram() -> None:
    with pytest.raises(ValueError, match=r"no histogram .*\(space_groups\).*_weights: uniform"):
        prompt_probabilities(NOTHING, None, "training")


def test_draws_follow() -> None:
    drawn = sample_space_groups(prompt_probabilities(HISTOGRAM, None, "training"), 4000, seed=1)
    assert np.bincount(drawn, minlength=231)[225] / 4000 == pytest.approx(5 / 8, abs=0.04)
    assert set(drawn) == {2, 62, 225}


def few_atoms(max_atoms: int, *required: int) -> Constraints:
    return Constraints(unconstrained(6).elements, required=required, max_atoms=max_atoms)


def test_groups_that_cannot_obey_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """Group 62 has no site of fewer than 4 atoms."""
    with caplog.at_level("INFO", logger="crystalformer_rl"):
        found = prompt_probabilities(HISTOGRAM, None, "training", constraints=few_atoms(3))
    assert np.flatnonzero(found).tolist() == [2, 225]
    assert found[[2, 225]].tolist() == [1 / 6, 5 / 6]
    assert "1 of 3 space groups cannot satisfy the constraints" in caplog.text
    assert "the other 2 had 75.0 % of the probability" in caplog.text


@given(max_atoms=st.integers(4, 12), required=st.sets(st.integers(1, 118), max_size=4))
def test_what_is_left_can_obey_and_keeps_its_odds(max_atoms: int, required: set[int]) -> None:
    constraints = few_atoms(max_atoms, *sorted(required))
    before = prompt_probabilities(NOTHING, None, "uniform")
    after = prompt_probabilities(NOTHING, None, "uniform", constraints=constraints)
    left = np.flatnonzero(after)
    constraints.check(left)
    np.testing.assert_allclose(after[left], before[left] / before[left].sum())
    assert all(constraints.problem(group) for group in set(range(1, 231)) - set(left.tolist()))


def test_nothing_changes_where_all_can_obey() -> None:
    free = prompt_probabilities(HISTOGRAM, None, "training")
    bound = prompt_probabilities(HISTOGRAM, None, "training", constraints=few_atoms(8))
    assert bound.tolist() == free.tolist()


def test_named_groups_must_obey() -> None:
    """Whether they would be drawn or not: training has no crystal of group 227."""
    message = "space group 227 has at least 2 atoms in its primitive cell"
    with pytest.raises(ValueError, match=message):
        prompt_probabilities(HISTOGRAM, [225, 227], "training", constraints=few_atoms(1))


def test_no_group_can_obey() -> None:
    histogram = np.where(np.arange(231) == 62, 1, 0)
    with pytest.raises(
        ValueError, match=r"none of the 1 space groups .* for example: space group 62"
    ):
        prompt_probabilities(histogram, None, "training", constraints=few_atoms(3))
