"""Likelihoods of training: where they are computed in bfloat16, and in how many parts."""

from collections.abc import Callable

import pytest
import torch
from helpers.pretend_gpu import Gpu

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import Room
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.losses import has_bfloat16, mean_loss


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_only_where_the_card_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    """A Turing card says that it supports bfloat16, which it emulates."""

    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert has_bfloat16(torch.device("cuda")) is native
    assert not has_bfloat16(torch.device("cpu"))


def test_the_mean_loss_does_not_depend_on_the_parts(
    new_policy: Callable[[], Policy], crystals: CrystalTokens
) -> None:
    policy = new_policy()
    expected = mean_loss(policy, crystals, batch_size=len(crystals))
    room = Room(50, unit="tokens")
    found = mean_loss(policy, crystals, batch_size=len(crystals), room=room)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.gpu
def test_a_validation_batch_that_does_not_fit_is_computed_in_parts(
    new_policy: Callable[[], Policy], crystals: CrystalTokens, pretend_gpu: Gpu
) -> None:
    policy = new_policy()
    # A room of the present memory would hold fewer tokens.
    room = Room(10_000, unit="tokens")
    expected, found = pretend_gpu.short_of_memory(
        lambda: mean_loss(policy, crystals, batch_size=len(crystals), room=room)
    )
    # In bfloat16, which has three digits.
    assert found == pytest.approx(expected, rel=1e-2)
