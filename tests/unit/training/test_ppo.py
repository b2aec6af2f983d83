"""The policy-gradient step against what can be worked out by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.policies import TINY
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.config import RLSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import Constraints, unconstrained
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training import ppo

NewPolicy = Callable[[], Policy]
ANYTHING = unconstrained(TINY.max_sites)


def rewards(*values: float, abstain: tuple[bool, ...] | None = None) -> RewardBatch:
    value = np.array(values)
    away = np.zeros(len(value), dtype=bool) if abstain is None else np.array(abstain)
    return RewardBatch(value, ~away, away, {})


def test_baseline_starts_at_the_first_mean_and_remembers() -> None:
    first = ppo.running_baseline(None, rewards(1.0, 3.0), decay=0.95)
    second = ppo.running_baseline(first, rewards(4.0), decay=0.95)
    assert first == 2.0
    assert second == pytest.approx(0.95 * 2 + 0.05 * 4)


def test_baseline_leaves_abstentions_out() -> None:
    assert ppo.running_baseline(
        None, rewards(1.0, -9.0, abstain=(False, True)), decay=0.95
    ) == pytest.approx(1.0)
    nobody = rewards(-9.0, abstain=(True,))
    assert ppo.running_baseline(None, nobody, decay=0.95) is None
    assert ppo.running_baseline(0.5, nobody, decay=0.95) == 0.5


def test_advantage_formula() -> None:
    found = ppo.advantages(
        rewards(1.0, -2.0, -9.0, abstain=(False, False, True)),
        np.array([0.5, -1.0, 2.0]),
        baseline=0.25,
        weight=3.0,
        tau=0.1,
    )
    assert found == pytest.approx([3 * 0.75 - 0.05, 3 * -2.25 + 0.1, -0.2])


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


def test_first_update_follows_reinforce(new_policy: NewPolicy, crystals: CrystalTokens) -> None:
    advantage = np.random.default_rng(0).normal(size=len(crystals))
    settings = RLSettings(ppo_epochs=1, clip_norm=1e9)
    moved, reference = new_policy(), new_policy()
    old = ppo.log_probs(moved, crystals, constraints=ANYTHING)
    done = ppo.update(
        moved,
        torch.optim.SGD(moved.parameters(), lr=1.0),
        crystals,
        old_log_prob=old,
        advantage=advantage,
        constraints=ANYTHING,
        settings=settings,
    )
    assert done.finite
    assert done.ratio_max == 1
    reference.eval()
    loss = -(reference.log_prob(crystals).total.double() * torch.from_numpy(advantage)).mean()
    loss.backward()
    squares = 0.0
    for before, after in zip(reference.parameters(), moved.parameters(), strict=True):
        assert before.grad is not None
        assert torch.allclose(after, before - before.grad, atol=1e-5)
        squares += float(before.grad.double().square().sum())
    assert done.grad_norm == pytest.approx(math.sqrt(squares), rel=1e-4)


def test_chunks_do_not_change_the_step(
    new_policy: NewPolicy, crystals: CrystalTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    advantage = np.random.default_rng(0).normal(size=len(crystals))
    found = []
    for chunk in (4, 1000):
        monkeypatch.setitem(ppo.CHUNKS, "cpu", chunk)
        policy = new_policy().double()
        ppo.update(
            policy,
            torch.optim.SGD(policy.parameters(), lr=0.1),
            crystals,
            old_log_prob=ppo.log_probs(policy, crystals, constraints=ANYTHING),
            advantage=advantage,
            constraints=ANYTHING,
            settings=RLSettings(),
        )
        found.append(torch.cat([p.detach().flatten() for p in policy.parameters()]))
    assert torch.allclose(*found, atol=1e-7)  # the letter and element tokens are float32


def test_not_finite_leaves_the_weights(new_policy: NewPolicy, crystals: CrystalTokens) -> None:
    policy, untouched = new_policy(), new_policy()
    old = ppo.log_probs(policy, crystals, constraints=ANYTHING)
    old[3] = torch.nan
    done = ppo.update(
        policy,
        torch.optim.Adam(policy.parameters()),
        crystals,
        old_log_prob=old,
        advantage=np.ones(len(crystals)),
        constraints=ANYTHING,
        settings=RLSettings(),
    )
    assert not done.finite
    for a, b in zip(policy.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(a, b)


def test_constraints_are_in_both_densities_of_the_ratio(new_policy: NewPolicy) -> None:
    """Scored under the masks they were drawn with, crystals start at a ratio of 1; and where the
    masks leave one element, its probability is 1 and moves nothing.
    """
    elements = np.zeros_like(ANYTHING.elements)
    elements[:, 11] = True
    only_sodium = Constraints(elements)
    policy = new_policy()
    samples = policy.sample([2] * 8, seed=0, constraints=only_sodium)
    old = ppo.log_probs(policy, samples.tokens, constraints=only_sodium)
    assert np.allclose(old.numpy(), samples.log_prob, rtol=0, atol=1e-4)
    update = ppo.update(
        policy,
        torch.optim.SGD(policy.parameters(), lr=0.0),
        samples.tokens,
        old_log_prob=old,
        advantage=np.ones(8),
        constraints=only_sodium,
        settings=RLSettings(ppo_epochs=1),
    )
    assert update.finite
    assert update.ratio_max == 1
    assert policy.log_prob(samples.tokens, constraints=only_sodium).element.abs().max() == 0
