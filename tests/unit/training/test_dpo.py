"""Direct preference optimisation against what can be worked out by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.policies import TINY
from helpers.pretend_gpu import Gpu
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.config.algorithms import DpoSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import unconstrained
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training import dpo
from crystalformer_rl.training.algorithm import Batch
from crystalformer_rl.training.scoring import log_probs

GAINS = st.floats(-30, 30)
SETTINGS = st.builds(
    DpoSettings,
    variant=st.sampled_from(["sigmoid", "ipo"]),
    beta=st.floats(0.01, 1),
    label_smoothing=st.floats(0, 0.4),
)


def rewards(*values: float, abstain: tuple[int, ...] = ()) -> RewardBatch:
    value = np.array(values)
    away = np.isin(np.arange(len(value)), abstain)
    return RewardBatch(value, ~away, away, {})


def pairs(batch: RewardBatch, *groups: int, margin: float = 0.0) -> list[tuple[int, int]]:
    found = dpo.pairs_of(batch, np.array(groups), margin=margin)
    return [(int(chosen), int(rejected)) for chosen, rejected in found]


def of(gain: float, **settings: object) -> float:
    tensor = torch.tensor([gain], dtype=torch.float64)
    return dpo.pair_loss(tensor, DpoSettings.model_validate(settings)).item()


def test_the_best_of_a_group_is_paired_with_its_worst() -> None:
    batch = rewards(1.0, 4.0, 2.0, 3.0)
    assert pairs(batch, 225, 225, 225, 225) == [(1, 0), (3, 2)]


def test_crystals_left_over_are_paired_across_groups() -> None:
    batch = rewards(1.0, 2.0, 3.0, 5.0, 4.0)
    assert pairs(batch, 1, 1, 1, 2, 3) == [(2, 0), (3, 1)]


def test_a_pair_needs_a_margin() -> None:
    batch = rewards(0.0, 1.0, 0.0, 0.5)
    assert pairs(batch, 1, 1, 2, 2, margin=0.5) == [(1, 0)]
    assert pairs(rewards(2.0, 2.0), 1, 1) == []


def test_abstained_crystals_take_no_part() -> None:
    batch = rewards(1.0, 9.0, 0.0, abstain=(1,))
    assert pairs(batch, 1, 1, 1) == [(0, 2)]
    assert pairs(rewards(1.0, 0.0, abstain=(0, 1)), 1, 1) == []


@given(
    values=st.lists(st.floats(-6, 1), min_size=1, max_size=30),
    seed=st.integers(0, 100),
    margin=st.floats(0, 1),
)
def test_every_crystal_is_in_one_pair_at_most(
    values: list[float], seed: int, margin: float
) -> None:
    random = np.random.default_rng(seed)
    away = random.random(len(values)) < 0.3
    batch = RewardBatch(np.array(values), ~away, away, {})
    found = dpo.pairs_of(batch, random.integers(1, 4, len(values)), margin=margin)
    assert len(set(found.ravel().tolist())) == found.size
    assert not away[found].any()
    assert (batch.value[found[:, 0]] - batch.value[found[:, 1]] > margin).all()


def test_losses_by_hand() -> None:
    assert of(0.0) == pytest.approx(math.log(2))
    assert of(5.0, beta=0.2) == pytest.approx(math.log(1 + math.exp(-1)))
    smoothed = 0.9 * math.log(1 + math.exp(-1)) + 0.1 * math.log(1 + math.e)
    assert of(5.0, beta=0.2, label_smoothing=0.1) == pytest.approx(smoothed)
    assert of(2.0, variant="ipo", beta=0.1) == pytest.approx(9.0)
    assert of(5.0, variant="ipo", beta=0.1) == 0


@given(gain=GAINS, more=st.floats(0.01, 5), settings=SETTINGS)
def test_the_loss_falls_when_the_chosen_gains_short_of_the_optimum(
    gain: float, more: float, settings: DpoSettings
) -> None:
    """The smoothed optima: ln((1 − ε)/ε)/β for the sigmoid, (1 − 2ε)/2β for IPO."""
    smoothing, beta = settings.label_smoothing, settings.beta
    if settings.variant == "ipo":
        best = (1 - 2 * smoothing) / (2 * beta)
    else:
        best = math.log((1 - smoothing) / max(smoothing, 1e-300)) / beta
    if gain + more > best:
        return
    worse, better = dpo.pair_loss(torch.tensor([gain, gain + more]).double(), settings)
    assert better < worse


@given(gain=GAINS, settings=SETTINGS)
def test_a_coin_toss_does_not_know_which_is_better(gain: float, settings: DpoSettings) -> None:
    tossed = settings.model_copy(update={"label_smoothing": 0.5})
    one, other = dpo.pair_loss(torch.tensor([gain, -gain]).double(), tossed)
    assert one.item() == pytest.approx(other.item())


def test_the_slopes_by_hand() -> None:
    """∂/∂ln p of −ln σ(βh) is ∓β σ(−βh), over the number of pairs; the SFT term adds −w/P."""
    log_prob = torch.tensor([1.0, -2.0, 0.5, 7.0, 3.0], dtype=torch.float64)
    base = torch.tensor([0.0, -1.0, 0.5, 1.0, 4.0], dtype=torch.float64)
    settings = DpoSettings(beta=0.5, sft_weight=0.2)
    found = dpo.objective(log_prob, base, np.array([[0, 1], [4, 2]]), settings=settings)
    # h = 1 − (−1) = 2 and −1 − 0 = −1.
    slopes = [0.5 / (1 + math.exp(0.5 * h)) / 2 for h in (2, -1)]
    expected = [-slopes[0] - 0.1, slopes[0], slopes[1], 0.0, -slopes[1] - 0.1]
    assert found.slope.tolist() == pytest.approx(expected)
    losses = [math.log(1 + math.exp(-0.5 * h)) for h in (2, -1)]
    assert found.loss == pytest.approx(sum(losses) / 2 - 0.2 * (1.0 + 3.0) / 2)
    assert found.accuracy == 0.5


def test_the_optimum_is_the_tilted_base() -> None:
    """On a categorical with preferences of a Bradley–Terry model, DPO ends at p_base exp(r/β)/Z."""
    base = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    reward = torch.tensor([0.0, 0.2, 0.4], dtype=torch.float64)
    logits = base.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")
    settings = DpoSettings(beta=0.5)

    def expected_loss() -> torch.Tensor:
        optimiser.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        ratio = logits.log_softmax(0) - base
        for i in range(3):
            for j in range(i):
                prefer = torch.sigmoid(reward[i] - reward[j])
                gain = (ratio[i] - ratio[j])[None]
                both = dpo.pair_loss(torch.cat([gain, -gain]), settings)
                total = total + prefer * both[0] + (1 - prefer) * both[1]
        total.backward()
        return total

    optimiser.step(expected_loss)
    tilted = (base + reward / settings.beta).softmax(0)
    assert torch.allclose(logits.detach().softmax(0), tilted, atol=1e-6)


NewPolicy = Callable[[], Policy]
ANYTHING = unconstrained(TINY.max_sites)


def batch_of(policy: Policy, tokens: CrystalTokens, values: np.ndarray) -> Batch:
    log_prob = log_probs(policy, tokens, constraints=ANYTHING).total
    nothing = np.zeros(len(tokens))
    return Batch(tokens, log_prob, log_prob - 0.5, rewards(*values), nothing, ANYTHING, seed=0)


def test_a_step_is_one_of_gradient_descent_on_the_loss_of_the_pairs(
    new_policy: NewPolicy, crystals: CrystalTokens
) -> None:
    """The gradient, put together from chunks and slopes, is that of the loss written down."""
    settings = DpoSettings(epochs=1, sft_weight=0.1, margin=0.0, beta=0.3)
    moved, reference = new_policy().double(), new_policy().double()
    batch = batch_of(moved, crystals, np.random.default_rng(0).normal(size=len(crystals)))
    done = dpo.DPO(settings, clip_norm=1e9).update(
        moved, torch.optim.SGD(moved.parameters(), lr=1.0), batch
    )
    assert done.finite
    assert done.columns["paired_fraction"] == 1
    chosen, rejected = dpo.pairs_of(batch.rewards, crystals.space_group, margin=0.0).T
    reference.eval()
    log_prob = reference.log_prob(crystals, constraints=ANYTHING).total.double()
    ratio = log_prob - batch.base_log_prob
    terms = -torch.nn.functional.logsigmoid(0.3 * (ratio[chosen] - ratio[rejected]))
    loss = (terms - 0.1 * log_prob[chosen]).mean()
    loss.backward()
    assert done.columns["dpo_loss"] == pytest.approx(loss.item())
    for before, after in zip(reference.parameters(), moved.parameters(), strict=True):
        assert torch.allclose(after, before - before.grad, atol=1e-6)


@pytest.mark.gpu
def test_pairs_that_do_not_fit_give_the_same_gradient(
    new_policy: NewPolicy, crystals: CrystalTokens, pretend_gpu: Gpu
) -> None:
    values = np.random.default_rng(0).normal(size=len(crystals))
    batch = batch_of(new_policy(), crystals, values)
    method = dpo.DPO(DpoSettings(epochs=1, margin=0.0), clip_norm=1e9)

    def moved() -> torch.Tensor:
        policy = new_policy()
        method.update(policy, torch.optim.SGD(policy.parameters(), lr=1.0), batch)
        return torch.cat([weights.detach().flatten().cpu() for weights in policy.parameters()])

    expected, found = pretend_gpu.short_of_memory(moved, share=2 / 3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_without_a_pair_nothing_moves(new_policy: NewPolicy, crystals: CrystalTokens) -> None:
    policy, untouched = new_policy(), new_policy()
    batch = batch_of(policy, crystals, np.zeros(len(crystals)))
    optimiser = torch.optim.SGD(policy.parameters(), lr=1.0)
    done = dpo.DPO(DpoSettings(), clip_norm=1.0).update(policy, optimiser, batch)
    assert done.finite
    assert done.columns["dpo_loss"] is None
    for a, b in zip(policy.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(a, b)


def test_not_finite_leaves_the_weights(new_policy: NewPolicy, crystals: CrystalTokens) -> None:
    policy, untouched = new_policy(), new_policy()
    batch = batch_of(policy, crystals, np.arange(len(crystals), dtype=float))
    batch.log_prob[3] = torch.nan
    optimiser = torch.optim.SGD(policy.parameters(), lr=1.0)
    assert not dpo.DPO(DpoSettings(), clip_norm=1.0).update(policy, optimiser, batch).finite
    for a, b in zip(policy.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(a, b)
