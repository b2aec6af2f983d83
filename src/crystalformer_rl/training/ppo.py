"""The policy-gradient step: proximal policy optimisation on whole crystals.

Maximises E[r(x) − τ ln(p(x)/p_base(x))] as in Cao & Wang, arXiv 2504.02367: the probability ratio
is that of the whole crystal, there is no value network, no scaling of the advantage and no entropy
term. The space group is a prompt and not part of any probability.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.config import RLSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training.batches import length_batches

MAX_LOG_RATIO = 20.0
CHUNKS: Final = {"cpu": 32, "cuda": 256}
"""Number of crystals of similar length that are scored together, by type of device."""

Floats = NDArray[np.float64]


def running_baseline(previous: float | None, rewards: RewardBatch, *, decay: float) -> float | None:
    """Running mean of batch-mean rewards, including this batch; starts at the first batch's mean.

    Crystals on which the reward abstains are ignored; None until there is one that counts.
    """
    rewarded = rewards.value[~rewards.abstain]
    if rewarded.size == 0:
        return previous
    mean = float(rewarded.mean())
    return mean if previous is None else decay * previous + (1 - decay) * mean


def advantages(
    rewards: RewardBatch,
    log_ratio_to_base: Floats,
    *,
    baseline: float | None,
    weight: float,
    tau: float,
) -> Floats:
    """(B,) weight · (r − b) − τ ln(p_old/p_base).

    The KL penalty is evaluated once, with the policy that sampled the crystals, and stays fixed
    over the gradient steps on the batch: it is part of the reward, not of the loss. Where the
    reward abstains, only the KL penalty is left. Without it such crystals would gain probability
    relative to all others as the policy moves away from the base.
    """
    above = np.where(rewards.abstain, 0.0, rewards.value - (baseline or 0.0))
    return np.asarray(weight * above - tau * log_ratio_to_base)


def surrogate(
    log_prob: torch.Tensor, old_log_prob: torch.Tensor, advantage: torch.Tensor, *, clip: float
) -> torch.Tensor:
    """(B,) min(γA, clip(γ, 1−ε, 1+ε)A) with γ = p/p_old, to be maximised.

    ln γ is clamped to ±20 (no gradient beyond), so that a crystal whose probability diverged gives
    a large number instead of infinity.
    """
    ratio = (log_prob - old_log_prob).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def log_probs(policy: Policy, tokens: CrystalTokens, *, constraints: Constraints) -> torch.Tensor:
    """(B,) ln p(crystal | space group) without gradient or dropout, in float64 on the CPU.

    Computed over the same chunks as the gradient steps, so that the ratio of the first step is
    exactly 1.
    """
    policy.eval()
    result = torch.zeros(len(tokens), dtype=torch.float64)
    with torch.no_grad():
        for indices, chunk in _chunks(policy, tokens):
            result[indices] = policy.log_prob(chunk, constraints=constraints).total.double().cpu()
    return result


@dataclass(frozen=True)
class Update:
    """Result of the gradient steps on one batch.

    Attributes
    ----------
    finite
        False if a loss or a gradient was not finite; the weights are those from before that step.
    ratio_max
        Largest probability ratio of any crystal in any step.
    grad_norm
        Largest gradient norm before clipping.
    """

    finite: bool
    ratio_max: float
    grad_norm: float


def update(
    policy: Policy,
    optimiser: torch.optim.Optimizer,
    tokens: CrystalTokens,
    *,
    old_log_prob: torch.Tensor,
    advantage: Floats,
    constraints: Constraints,
    settings: RLSettings,
) -> Update:
    """Make ``settings.ppo_epochs`` gradient steps, each on the whole batch, without dropout."""
    policy.eval()
    weights = list(policy.parameters())
    device = weights[0].device
    old = old_log_prob.to(device)
    gain = torch.from_numpy(advantage).to(device)
    chunks = [(indices.to(device), chunk) for indices, chunk in _chunks(policy, tokens)]
    ratio_max = grad_norm = 0.0
    for _ in range(settings.ppo_epochs):
        optimiser.zero_grad(set_to_none=True)
        finite = True
        for indices, chunk in chunks:
            log_prob = policy.log_prob(chunk, constraints=constraints).total.double()
            gains = surrogate(log_prob, old[indices], gain[indices], clip=settings.clip)
            loss = -gains.sum() / len(tokens)
            loss.backward()  # type: ignore[no-untyped-call]
            ratio = float((log_prob.detach() - old[indices]).max().clamp(max=MAX_LOG_RATIO).exp())
            ratio_max = max(ratio_max, ratio)
            finite = finite and bool(torch.isfinite(loss))
        norm = float(torch.nn.utils.clip_grad_norm_(weights, settings.clip_norm))
        if not (finite and np.isfinite(norm)):
            return Update(finite=False, ratio_max=ratio_max, grad_norm=norm)
        grad_norm = max(grad_norm, norm)
        optimiser.step()
    return Update(finite=True, ratio_max=ratio_max, grad_norm=grad_norm)


def _chunks(policy: Policy, tokens: CrystalTokens) -> Iterator[tuple[torch.Tensor, CrystalTokens]]:
    size = CHUNKS[next(policy.parameters()).device.type]
    for indices in length_batches(tokens.num_sites, batch_size=size):
        yield torch.from_numpy(indices), tokens[indices]
