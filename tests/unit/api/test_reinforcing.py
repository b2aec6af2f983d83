"""Reinforcement from Python, with a function as the reward."""

import numpy as np
import pytest
from pymatgen.core import Structure

import crystalformer_rl as cf


@pytest.fixture(scope="module")
def policy() -> cf.Generator:
    return cf.load_policy("mp20-small")


def light(structures: list[Structure]) -> list[float]:
    return [-structure.density for structure in structures]


def test_the_reward_rises_and_the_policy_that_was_given_stays(policy: cf.Generator) -> None:
    before = policy.sample(2, seed=5).table["log_prob"]
    after = cf.reinforce(
        policy, reward=light, steps=6, batch_size=24, space_groups=[225], learning_rate=1e-3
    )
    assert after.history["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert after.history["reward_mean"].iloc[-2:].mean() > after.history["reward_mean"].iloc[0]
    assert len(after.found) == 6 * 24
    np.testing.assert_array_equal(policy.sample(2, seed=5).table["log_prob"], before)
    assert after.sample(1, space_group=225).table["id"].tolist() == ["rl-0000-0000"]


def test_a_mistake_of_the_reward_names_its_line(policy: cf.Generator) -> None:
    def broken(structures: list[Structure]) -> list[float]:
        return [1 / 0 for _ in structures]

    with pytest.raises(ValueError, match=r"test_reinforcing.py, line \d+: score raised ZeroDiv"):
        cf.reinforce(policy, reward=broken, steps=1, batch_size=4)


def test_an_unknown_setting_is_refused(policy: cf.Generator) -> None:
    with pytest.raises(ValueError, match=r"batchsize: unknown key \(did you mean batch_size\?\)"):
        cf.reinforce(policy, reward=light, steps=1, batchsize=4)
