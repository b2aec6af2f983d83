"""The policy-gradient step against what can be worked out by hand."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.policies import TINY
from helpers.pretend_gpu import Gpu
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.config import RLSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.device import Room
from crystalformer_rl.model.constraints import Constraints, unconstrained
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training import ppo, scoring
from crystalformer_rl.training.algorithm import Batch, Update
from crystalformer_rl.training.scoring import log_probs

NewPolicy = Callable[[], Policy]
ANYTHING = unconstrained(TINY.max_sites)


def update(
    policy: Policy,
    tokens: CrystalTokens,
    *,
    old: torch.Tensor | None = None,
    advantage: np.ndarray | None = None,
    constraints: Constraints = ANYTHING,
    optimiser: torch.optim.Optimizer | None = None,
    **settings: Any,
) -> Update:
    """One update with what is not given left harmless."""
    nothing = np.zeros(len(tokens))
    if old is None:
        old = log_probs(policy, tokens, constraints=constraints).total
    batch = Batch(
        tokens=tokens,
        log_prob=old,
        base_log_prob=old,
        rewards=RewardBatch(nothing, nothing == 0, nothing != 0, {}),
        advantage=np.ones(len(tokens)) if advantage is None else advantage,
        constraints=constraints,
        seed=0,
    )
    chosen = optimiser or torch.optim.SGD(policy.parameters(), lr=0.1)
    return ppo.PPO(RLSettings(**settings)).update(policy, chosen, batch)


def test_gradient_at_ratio_1_is_reinforce_on_a_categorical() -> None:
    """∂/∂θ_k of the mean of A ln softmax(θ)_x is mean of A (δ_xk − p_k)."""
    logits = torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64, requires_grad=True)
    drawn = torch.tensor([0, 2, 2, 1])
    advantage = torch.tensor([1.0, -0.5, 2.0, -3.0], dtype=torch.float64)
    log_prob = logits.log_softmax(0)[drawn]
    ppo.surrogate(log_prob, log_prob.detach(), advantage, clip=0.2).mean().backward()
    onehot = torch.nn.functional.one_hot(drawn, 3)
    expected = (advantage[:, None] * (onehot - logits.detach().softmax(0))).mean(0)
    assert torch.allclose(logits.grad, expected, atol=1e-15)


@given(
    log_ratio=st.floats(-50, 50), advantage=st.floats(-5, 5), clip=st.sampled_from([0.0, 0.1, 0.2])
)
def test_surrogate_is_pessimistic_and_finite(
    log_ratio: float, advantage: float, clip: float
) -> None:
    log_prob = torch.tensor([log_ratio], dtype=torch.float64, requires_grad=True)
    gain = torch.tensor([advantage], dtype=torch.float64)
    value = ppo.surrogate(log_prob, torch.zeros(1, dtype=torch.float64), gain, clip=clip)
    value.sum().backward()
    ratio = math.exp(max(-20, min(20, log_ratio)))
    clipped = max(1 - clip, min(1 + clip, ratio))
    assert value.item() == pytest.approx(min(ratio * advantage, clipped * advantage))
    assert torch.isfinite(log_prob.grad).all()
    if advantage > 0 and ratio > 1 + clip:
        assert log_prob.grad.item() == 0


@given(log_ratio=st.floats(-50, 50))
def test_kl_terms_are_not_negative(log_ratio: float) -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    found = ppo.kl_terms(zero + log_ratio, zero).item()
    limited = max(-20, min(20, log_ratio))
    assert found >= 0
    assert found == pytest.approx(math.expm1(limited) - limited)


def test_kl_terms_estimate_the_divergence_of_two_categoricals() -> None:
    old, new = torch.tensor([[0.5, 0.3, 0.2], [0.4, 0.3, 0.3]], dtype=torch.float64)
    expected = float((old * (old / new).log()).sum())
    assert float((old * ppo.kl_terms(new.log(), old.log())).sum()) == pytest.approx(expected)


def test_first_update_follows_reinforce(new_policy: NewPolicy, crystals: CrystalTokens) -> None:
    advantage = np.random.default_rng(0).normal(size=len(crystals))
    moved, reference = new_policy(), new_policy()
    optimiser = torch.optim.SGD(moved.parameters(), lr=1.0)
    done = update(
        moved, crystals, advantage=advantage, optimiser=optimiser, ppo_epochs=1, clip_norm=1e9
    )
    assert done.finite
    assert done.columns["ratio_max"] == 1
    assert done.columns["kl_step"] == 0
    reference.eval()
    loss = -(reference.log_prob(crystals).total.double() * torch.from_numpy(advantage)).mean()
    loss.backward()
    squares = 0.0
    for before, after in zip(reference.parameters(), moved.parameters(), strict=True):
        assert before.grad is not None
        assert torch.allclose(after, before - before.grad, atol=1e-5)
        squares += float(before.grad.double().square().sum())
    assert done.columns["grad_norm"] == pytest.approx(math.sqrt(squares), rel=1e-4)


def test_chunks_do_not_change_the_step(
    new_policy: NewPolicy, crystals: CrystalTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    advantage = np.random.default_rng(0).normal(size=len(crystals))
    found = []
    for chunk in (4, 1000):
        monkeypatch.setitem(scoring.CHUNKS, "cpu", (chunk, 0))
        policy = new_policy().double()
        update(policy, crystals, advantage=advantage)
        found.append(torch.cat([p.detach().flatten() for p in policy.parameters()]))
    assert torch.allclose(*found, atol=1e-7)  # the letter and element tokens are float32


@pytest.mark.gpu
def test_a_batch_is_left_when_the_policy_has_moved_far(
    new_policy: NewPolicy, crystals: CrystalTokens
) -> None:
    free = update(new_policy(), crystals, ppo_epochs=5, max_kl_step=None)
    assert free.columns["ppo_epochs"] == 5
    limit = free.columns["kl_step"] / 10
    assert limit > 0
    policy = new_policy()
    held = update(policy, crystals, ppo_epochs=5, max_kl_step=limit)
    assert 1 <= held.columns["ppo_epochs"] < 5
    assert held.columns["kl_step"] > limit
    assert all(p.grad is None for p in policy.parameters())  # none for the step that is not made


@pytest.mark.gpu
def test_a_step_beyond_the_limit_is_shortened(
    new_policy: NewPolicy, crystals: CrystalTokens
) -> None:
    advantage = np.random.default_rng(0).normal(size=len(crystals))

    def moved(policy: Policy) -> float:
        """KL(p_old‖p) in nats per crystal."""
        old, new = (
            log_probs(p, crystals, constraints=ANYTHING).total for p in (new_policy(), policy)
        )
        return float(ppo.kl_terms(new, old).mean())

    def updated(**settings: Any) -> tuple[Policy, Update]:
        policy = new_policy()
        optimiser = torch.optim.SGD(policy.parameters(), lr=0.001)
        return policy, update(
            policy, crystals, advantage=advantage, optimiser=optimiser, **settings
        )

    free, _ = updated(ppo_epochs=1, max_kl_step=None)
    for parts in (2, 10):
        limit = moved(free) / parts
        held, done = updated(ppo_epochs=2, max_kl_step=limit)
        assert done.columns["ppo_epochs"] == 1
        assert done.columns["kl_step"] == pytest.approx(moved(free), rel=1e-3)
        assert limit / 1.2 < moved(held) < 1.2 * limit  # the KL divergence is not quite a square


@given(st.floats(0, 1), st.floats(0, 1, exclude_min=True), st.floats(0, 10, exclude_min=True))
def test_the_fraction_of_a_step_is_that_of_the_distances(
    part: float, limit: float, beyond: float
) -> None:
    before, after = part * limit, limit + beyond
    fraction = ppo.shortened(before, after, limit)
    assert 0 <= fraction <= 1
    along = (1 - fraction) * math.sqrt(before) + fraction * math.sqrt(after)
    assert along == pytest.approx(math.sqrt(limit))


@pytest.mark.parametrize("limit", [1e-4, 10.0])
def test_graphs_that_do_not_fit_into_memory_give_the_same_bits(
    new_policy: NewPolicy, crystals: CrystalTokens, monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    found = []
    for most in (10_000, 1):
        monkeypatch.setattr(
            scoring, "training_room", lambda _, most=most: Room(most, unit="tokens")
        )
        policy = new_policy()
        done = update(policy, crystals, max_kl_step=limit)
        found.append((done, torch.cat([p.detach().flatten() for p in policy.parameters()])))
    (kept, weights), (computed_twice, expected) = found
    assert kept == computed_twice
    assert torch.equal(weights, expected)


@pytest.mark.gpu
def test_an_update_that_runs_out_of_memory_is_computed_in_pieces(
    new_policy: NewPolicy, crystals: CrystalTokens, pretend_gpu: Gpu
) -> None:
    def updated() -> tuple[Update, torch.Tensor]:
        policy = new_policy()
        done = update(policy, crystals, max_kl_step=10.0)
        return done, torch.cat([p.detach().flatten().cpu() for p in policy.parameters()])

    (expected, weights), (found, in_pieces) = pretend_gpu.short_of_memory(updated, share=2 / 3)
    assert found.columns == pytest.approx(expected.columns, rel=1e-4)
    torch.testing.assert_close(in_pieces, weights, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
def test_not_finite_leaves_the_weights(new_policy: NewPolicy, crystals: CrystalTokens) -> None:
    policy, untouched = new_policy(), new_policy()
    old = log_probs(policy, crystals, constraints=ANYTHING).total
    old[3] = torch.nan
    done = update(policy, crystals, old=old)
    assert not done.finite
    for a, b in zip(policy.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.gpu
def test_constraints_are_in_both_densities_of_the_ratio(new_policy: NewPolicy) -> None:
    """Scored under the masks they were drawn with, crystals start at a ratio of 1; and where the
    masks leave one element, its probability is 1 and moves nothing.
    """
    elements = np.zeros_like(ANYTHING.elements)
    elements[:, 11] = True
    only_sodium = Constraints(elements)
    policy = new_policy()
    samples = policy.sample([2] * 8, seed=0, constraints=only_sodium)
    old = log_probs(policy, samples.tokens, constraints=only_sodium).total
    assert np.allclose(old.numpy(), samples.log_prob, rtol=0, atol=1e-4)
    optimiser = torch.optim.SGD(policy.parameters(), lr=0.0)
    done = update(
        policy, samples.tokens, constraints=only_sodium, optimiser=optimiser, ppo_epochs=1
    )
    assert done.finite
    assert done.columns["ratio_max"] == 1
    assert policy.log_prob(samples.tokens, constraints=only_sodium).element.abs().max() == 0
