"""How often each space group is drawn."""

import numpy as np
import pytest

from crystalformer_rl.model.prompts import draw_space_groups, prompt_probabilities

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
    with pytest.raises(ValueError, match="name space_groups, or set space_group_weights"):
        prompt_probabilities(NOTHING, None, "training")


def test_draws_follow() -> None:
    drawn = draw_space_groups(prompt_probabilities(HISTOGRAM, None, "training"), 4000, seed=1)
    assert np.bincount(drawn, minlength=231)[225] / 4000 == pytest.approx(5 / 8, abs=0.04)
    assert set(drawn) == {2, 62, 225}
