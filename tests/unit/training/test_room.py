"""Gradients of batches that do not fit into memory at once."""

import numpy as np
import pytest
import torch
from helpers.policies import TINY
from helpers.pretend_gpu import Gpu
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.config import ModelSettings, OptimiserSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import PATIENCE, Room, best_device
from crystalformer_rl.jobs.parallel import alone
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.batches import parts_within
from crystalformer_rl.training.fit_state import FitState
from crystalformer_rl.training.room import (
    SHARE,
    activation_bytes,
    padded_tokens,
    tokens_of,
    training_room,
)

# bfloat16 has three digits, and a sum of a batch is not the sum of its parts.
ROUNDING = 1e-5 if best_device() == "cpu" else 1e-2
PUBLISHED = ModelSettings(layers=16, heads=16, key_size=64, width=64)


@given(st.lists(st.integers(1, 101), max_size=50), st.integers(1, 400))
def test_parts_have_every_crystal_once_and_are_small(lengths: list[int], most: int) -> None:
    found = parts_within(np.array(lengths, dtype=np.int64), most=most)
    assert sorted(i for part in found for i in part.tolist()) == list(range(len(lengths)))
    for part in found:
        longest = max(lengths[i] for i in part)
        assert len(part) == 1 or len(part) * longest <= max(most, longest)


def new_state() -> FitState:
    return FitState(
        Policy(TINY.model_copy(update={"dropout": 0.0}), seed=1).to(best_device()),
        settings=OptimiserSettings(),
        seed=0,
        validate_every=1,
        patience=None,
        parallel=alone(best_device()),
        record=None,
        total=1,
    )


def gradient(state: FitState, tokens: CrystalTokens, most: int) -> tuple[list[float], torch.Tensor]:
    """Losses and gradient of a batch, at most ``most`` tokens at once."""
    room = Room(most, unit="tokens")
    found = room.attempt(
        lambda size: state.gradient(tokens, batch=len(tokens), most=size), size=most
    )
    slopes = [p.grad.flatten().cpu() for p in state.policy.parameters() if p.grad is not None]
    state.optimiser.zero_grad(set_to_none=True)
    return found.tolist(), torch.cat(slopes)


@pytest.mark.gpu
@pytest.mark.parametrize("most", [1, 50, 300])
def test_the_gradient_of_parts_is_that_of_one_piece(crystals: CrystalTokens, most: int) -> None:
    state = new_state()
    losses, expected = gradient(state, crystals, most=1000)
    found, slopes = gradient(state, crystals, most=most)
    assert found == pytest.approx(losses, rel=ROUNDING)
    torch.testing.assert_close(slopes, expected, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.gpu
def test_a_batch_that_does_not_fit_is_computed_in_parts(
    crystals: CrystalTokens, pretend_gpu: Gpu
) -> None:
    state = new_state()
    (losses, expected), (found, slopes) = pretend_gpu.short_of_memory(
        lambda: gradient(state, crystals, most=1000)
    )
    assert found == pytest.approx(losses, rel=ROUNDING)
    torch.testing.assert_close(slopes, expected, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.gpu
def test_a_training_uses_memory_that_has_become_free(
    crystals: CrystalTokens, pretend_gpu: Gpu
) -> None:
    state, size = new_state(), padded_tokens(crystals)

    def advance() -> int:
        assert state.advance(crystals, batch=len(crystals), stop=lambda: False) is None
        return state.room.most

    most = advance()
    before = pretend_gpu.peak = pretend_gpu.allocated
    advance()
    pretend_gpu.limit = before + (pretend_gpu.peak - before) // 3
    halved = advance()
    assert halved <= size // 4 < most
    pretend_gpu.limit = float("inf")
    assert {advance() for _ in range(PATIENCE - 2)} == {halved}
    assert advance() == 2 * halved


@pytest.mark.gpu
def test_the_estimate_of_memory_is_enough_at_the_published_size(pretend_gpu: Gpu) -> None:
    policy = Policy(PUBLISHED.model_copy(update={"layers": 4}), seed=1).to(best_device()).train()
    tokens = policy.sample([1] * 4, seed=0).tokens
    start = pretend_gpu.peak = pretend_gpu.allocated
    policy.log_prob(tokens).total.sum().backward()
    computed = len(tokens) * tokens_of(tokens).max()
    assert pretend_gpu.peak - start < computed * activation_bytes(policy.settings)


@pytest.mark.gpu
def test_a_large_batch_of_long_crystals_fits_80_gb(pretend_gpu: Gpu) -> None:
    """By calculation: 8,000 crystals of 20 sites at the published size."""
    pretend_gpu.limit = 80e9
    room = training_room(Policy(PUBLISHED).to(best_device()))
    lengths = np.full(8000, 20 * 5 + 1)
    parts = parts_within(lengths, most=room.most)
    largest = max(len(part) * 101 for part in parts)
    assert largest * activation_bytes(PUBLISHED) < SHARE * 80e9
    assert len(parts) < 20
