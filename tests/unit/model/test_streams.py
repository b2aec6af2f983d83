"""Random numbers that depend on the crystal and not on its batch."""

import numpy as np
import pytest
import torch
from helpers.policies import TINY, uneven_policy
from helpers.pretend_gpu import Gpu

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.streams import CrystalStreams

GROUPS = [2, 62, 166, 225] * 3
SYNCS_A_SITE = 4


def test_numbers_of_a_crystal_do_not_depend_on_the_others() -> None:
    every = torch.arange(50)
    some = torch.tensor([7, 3, 40])
    like = torch.zeros(50, 6, dtype=torch.float64)
    streams = CrystalStreams.of_crystals(11, every)
    all_of_them = streams.of(every, 5)
    alone = CrystalStreams.of_crystals(11, some).of(torch.arange(3), 5)
    assert torch.equal(all_of_them.normal(like)[some], alone.normal(like[some]))
    assert torch.equal(all_of_them.uniform(like[:, 0])[some], alone.uniform(like[some, 0]))
    first = all_of_them.proposals(some, 12, 1, like)
    assert torch.equal(first, alone.proposals(torch.arange(3), 12, 1, like))


def test_no_two_numbers_are_alike() -> None:
    """Other crystals, draws, seeds and places: a million numbers, uniform and different."""
    every, like = torch.arange(100), torch.zeros(1, dtype=torch.float64)
    found = [
        CrystalStreams.of_crystals(seed, every).of(every, draw).proposals(every, 50, 0, like)
        for seed in (0, 1, 2**63 - 1)
        for draw in range(33)
    ]
    numbers = torch.stack(found).flatten().numpy()
    assert len(np.unique(numbers)) == len(numbers)
    observed, _ = np.histogram(numbers, np.linspace(0, 1, 101))
    assert abs(observed / len(numbers) * 100 - 1).max() < 0.05
    pairs = np.corrcoef(numbers[:-1], numbers[1:])[0, 1]
    assert abs(pairs) < 0.005


def same(first: CrystalTokens, second: CrystalTokens) -> None:
    for name, array in first.to_arrays().items():
        np.testing.assert_allclose(array, second.to_arrays()[name], rtol=0, atol=1e-4)


@pytest.mark.gpu
def test_crystals_do_not_depend_on_the_batch() -> None:
    policy = uneven_policy(max_sites=4)
    found = [policy.sample(GROUPS, seed=1, batch_size=size) for size in (5, 12)]
    same(found[0].tokens, found[1].tokens)


@pytest.mark.gpu
def test_a_batch_that_does_not_fit_is_drawn_again_the_same(pretend_gpu: Gpu) -> None:
    policy = Policy(TINY, seed=1).to(best_device())
    expected, found = pretend_gpu.short_of_memory(
        lambda: policy.sample(GROUPS, seed=1, batch_size=12), share=2 / 3
    )
    same(found.tokens, expected.tokens)
    np.testing.assert_allclose(found.log_prob, expected.log_prob, atol=1e-4)


@pytest.mark.gpu
def test_the_host_waits_four_times_a_site(pretend_gpu: Gpu) -> None:
    policy = uneven_policy(max_sites=4)
    policy.sample(GROUPS[:4], seed=0)
    pretend_gpu.counts.clear()
    policy.sample(GROUPS, seed=1)
    waits = pretend_gpu.total("sync") + pretend_gpu.total("to_cpu")
    once = 10  # the tables, the constraints and the results
    assert waits <= SYNCS_A_SITE * policy.settings.max_sites + once, pretend_gpu.report()
