"""Log-probabilities of a batch, whatever the chunks in which they are computed."""

from collections.abc import Callable

import pytest
import torch
from helpers.policies import TINY
from helpers.pretend_gpu import Gpu

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import unconstrained
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.scoring import log_probs

ANYTHING = unconstrained(TINY.max_sites)


@pytest.mark.gpu
def test_crystals_that_do_not_fit_are_scored_in_parts(
    new_policy: Callable[[], Policy], crystals: CrystalTokens, pretend_gpu: Gpu
) -> None:
    policy = new_policy()
    expected, found = pretend_gpu.short_of_memory(
        lambda: log_probs(policy, crystals, constraints=ANYTHING)
    )
    torch.testing.assert_close(found.total, expected.total, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.discrete, expected.discrete, rtol=1e-5, atol=1e-5)
