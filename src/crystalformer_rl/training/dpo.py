"""Direct preference optimisation (DPO) on pairs of crystals from one batch.

The optimum of E[r] − β KL(p ‖ p_base) has r(x) = β ln(p(x)/p_base(x)) + β ln Z(g). In the
difference of two crystals of one space group g the unknown Z(g) cancels, so that the policy itself
is the reward model of the preference (Rafailov et al., arXiv 2305.18290, equation 7):

    h    = ln(p/p_base)(chosen) − ln(p/p_base)(rejected)
    loss = −ln σ(βh)

Label smoothing ε is the probability that a pair is the wrong way round: (1 − ε) loss(h) +
ε loss(−h). IPO (Azar et al., arXiv 2310.12036, equation 17) has the loss (h − 1/2β)² instead, which
stays finite where one crystal is always preferred. A supervised term −ln p(chosen) can be added, as
in the JAX code of CrystalFormer. Differences from that code: its pairs come from two files and are
fixed, ours come from the policy itself in every step; smoothing also applies to IPO.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.config.algorithms import DpoSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training.algorithm import Batch, Update
from crystalformer_rl.training.scoring import chunks, log_probs, scoring_room, share_size

Pairs = NDArray[np.int64]


def pairs_of(rewards: RewardBatch, space_groups: NDArray[np.int64], *, margin: float) -> Pairs:
    """(P, 2) indices of the chosen and the rejected crystal of each pair.

    The best crystal of a space group is paired with the worst, the second best with the second
    worst, and so on. Crystals that are left over are paired in the same way with one another,
    whatever their group; Z(g) does not cancel there, but without them most of a small batch would
    teach nothing. Every crystal is in at most one pair. Abstained crystals are in none.

    Parameters
    ----------
    margin
        Only pairs whose rewards differ by more are kept.
    """
    judged = np.flatnonzero(~rewards.abstain)
    ranked = judged[np.argsort(-rewards.value[judged], kind="stable")]
    groups = space_groups[ranked]
    found: list[tuple[int, int]] = []
    for group in np.unique(groups):
        found += _best_with_worst(ranked[groups == group], rewards.value, margin)
    paired = {index for pair in found for index in pair}
    rest = np.array([index for index in ranked if index not in paired], dtype=np.int64)
    found += _best_with_worst(rest, rewards.value, margin)
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _best_with_worst(
    ranked: NDArray[np.int64], value: NDArray[np.float64], margin: float
) -> Iterable[tuple[int, int]]:
    """Pairs of a list that is sorted from the best to the worst."""
    half = len(ranked) // 2
    for chosen, rejected in zip(ranked[:half], ranked[::-1][:half], strict=True):
        if value[chosen] - value[rejected] > margin:
            yield int(chosen), int(rejected)


def pair_loss(gain: torch.Tensor, settings: DpoSettings) -> torch.Tensor:
    """(P,) loss of pairs with ``gain`` h, in nats; the SFT term is not part of it."""
    smoothing = settings.label_smoothing
    return (1 - smoothing) * _loss(gain, settings) + smoothing * _loss(-gain, settings)


def _loss(gain: torch.Tensor, settings: DpoSettings) -> torch.Tensor:
    if settings.variant == "ipo":
        return (gain - 1 / (2 * settings.beta)).square()
    return -torch.nn.functional.logsigmoid(settings.beta * gain)


@dataclass(frozen=True)
class Objective:
    """The loss of a batch as a function of the log-probabilities of its crystals.

    Attributes
    ----------
    loss
        Mean over the pairs, the SFT term included.
    accuracy
        Fraction of the pairs whose chosen crystal has gained more than the rejected one.
    slope
        (B,) ∂loss/∂ln p of each crystal; 0 for a crystal without a pair.
    """

    loss: float
    accuracy: float
    slope: torch.Tensor


def objective(
    log_prob: torch.Tensor, base_log_prob: torch.Tensor, pairs: Pairs, *, settings: DpoSettings
) -> Objective:
    """The loss and its slopes.

    With the slopes the gradient of the loss is that of Σ slope · ln p, whose terms can be computed
    in any chunks, and not only pair by pair.

    Parameters
    ----------
    log_prob, base_log_prob
        (B,) ln p of the crystals under the policy and under the frozen base policy.
    pairs
        (P, 2) with P > 0, see :func:`pairs_of`.
    """
    leaf = log_prob.detach().clone().requires_grad_(True)
    chosen, rejected = torch.from_numpy(pairs.T).to(leaf.device)
    ratio = leaf - base_log_prob
    gain = ratio[chosen] - ratio[rejected]
    loss = pair_loss(gain, settings).mean() - settings.sft_weight * leaf[chosen].mean()
    (slope,) = torch.autograd.grad(loss, leaf)
    return Objective(float(loss.detach()), float((gain > 0).double().mean()), slope)


@dataclass(frozen=True)
class DPO:
    """``epochs`` gradient steps on the pairs of a batch, without dropout.

    Columns of the history: ``paired_fraction``, the fraction of the batch that is in a pair;
    ``dpo_loss`` and ``pair_accuracy``, the loss and the accuracy of the :class:`Objective` before
    the first step; ``grad_norm``, the largest gradient norm before clipping. All but the first are
    None where there is no pair, and the policy then stays as it is.
    """

    settings: DpoSettings
    clip_norm: float

    def update(self, policy: Policy, optimiser: torch.optim.Optimizer, batch: Batch) -> Update:
        """Minimise the mean loss of the pairs."""
        groups = batch.tokens.space_group
        pairs = pairs_of(batch.rewards, groups, margin=self.settings.margin)
        columns: dict[str, float | None] = {
            "paired_fraction": pairs.size / len(groups),
            **dict.fromkeys(("dpo_loss", "pair_accuracy", "grad_norm")),
        }
        if not pairs.size:
            return Update(finite=True, columns=columns)
        members = np.unique(pairs)
        pairs = np.searchsorted(members, pairs)
        tokens = batch.tokens[members]
        log_prob, base_log_prob = batch.log_prob[members], batch.base_log_prob[members]
        weights = list(policy.parameters())
        norms: list[float] = []
        policy.eval()
        for epoch in range(self.settings.epochs):
            if epoch:
                log_prob = log_probs(
                    policy, tokens, constraints=batch.constraints, parallel=batch.parallel
                ).total
            found = objective(log_prob, base_log_prob, pairs, settings=self.settings)
            if not epoch:
                columns |= {"dpo_loss": found.loss, "pair_accuracy": found.accuracy}
            work = partial(_descend, policy, batch, tokens=tokens, slope=found.slope)
            size = share_size(tokens, batch.parallel)
            scoring_room(weights[0].device.type).attempt(work, size=size)
            batch.parallel.sum_gradients(weights, torch.zeros(0))
            norms.append(float(torch.nn.utils.clip_grad_norm_(weights, self.clip_norm)))
            columns["grad_norm"] = max(norms)
            if not (np.isfinite(found.loss) and np.isfinite(norms[-1])):
                return Update(finite=False, columns=columns)
            optimiser.step()
        return Update(finite=True, columns=columns)


def _descend(
    policy: Policy, batch: Batch, most: int, *, tokens: CrystalTokens, slope: torch.Tensor
) -> None:
    """Set the gradients to those of Σ slope · ln p, at most ``most`` crystals at once."""
    policy.zero_grad(set_to_none=True)
    device = next(policy.parameters()).device
    for indices, part in chunks(tokens, batch.parallel, most=most, device=device):
        total = policy.log_prob(part, constraints=batch.constraints).total.double()
        (total * slope[indices].to(device)).sum().backward()  # type: ignore[no-untyped-call]
