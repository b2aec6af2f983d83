"""Proximal policy optimisation on whole crystals.

Maximises E[r(x) − τ ln(p(x)/p_base(x))] as in Cao & Wang, arXiv 2504.02367: the probability ratio
is that of the whole crystal, and there is no value network. The space group is a prompt and not
part of any probability.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from crystalformer_rl.config import RLSettings
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.algorithm import Batch, Update
from crystalformer_rl.training.scoring import Piece, Scores

MAX_LOG_RATIO = 20.0


def surrogate(
    log_prob: torch.Tensor, old_log_prob: torch.Tensor, advantage: torch.Tensor, *, clip: float
) -> torch.Tensor:
    """(B,) min(γA, clip(γ, 1−ε, 1+ε)A) with γ = p/p_old, to be maximised.

    ln γ is clamped to ±20 (no gradient beyond), so that a crystal whose probability diverged gives
    a large number instead of infinity.
    """
    ratio = (log_prob - old_log_prob).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def kl_terms(log_prob: torch.Tensor, old_log_prob: torch.Tensor) -> torch.Tensor:
    """(B,) γ − 1 − ln γ ≥ 0 with γ = p/p_old, whose mean over p_old is KL(p_old‖p).

    Its variance is smaller than that of −ln γ (Schulman, "Approximating KL divergence", 2020,
    http://joschu.net/blog/kl-approx.html). ln γ is clamped as in :func:`surrogate`.
    """
    log_ratio = (log_prob - old_log_prob).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return torch.expm1(log_ratio) - log_ratio


def shortened(before: float, after: float, limit: float) -> float:
    """The fraction of a step that ends at a KL divergence of ``limit``, between 0 and 1.

    ``before`` ≤ ``limit`` < ``after`` are the divergences from the old policy at its two ends. Near
    the old policy the KL divergence is the square of a norm of the change of the weights (Fisher's
    metric), and a norm is convex: along the step it is at most linear between its ends.
    """
    low, high = math.sqrt(max(before, 0.0)), math.sqrt(after)
    return (math.sqrt(limit) - low) / (high - low) if high > low else 1.0


@dataclass(frozen=True)
class PPO:
    """Gradient steps on the whole batch, without dropout, until one of two limits is reached.

    These are ``ppo_epochs`` and ``max_kl_step``; the latter is looked at before each step, as in
    Spinning Up (https://spinningup.openai.com/en/latest/algorithms/ppo.html). We also shorten a
    step that went beyond the limit (:func:`shortened`), so that no single step can do damage that
    takes many batches to mend. Adam's moments keep its gradient.

    Columns of the history: ``ratio_max``, the largest probability ratio of any crystal before any
    step; ``grad_norm``, the largest gradient norm before clipping; ``kl_step``, KL(p_old‖p) in nats
    per crystal when it was last looked at, before the step was shortened; and ``ppo_epochs``, the
    number of steps made.
    """

    settings: RLSettings

    def update(self, policy: Policy, optimiser: torch.optim.Optimizer, batch: Batch) -> Update:
        """Maximise the mean of the surrogate."""
        settings, parallel = self.settings, batch.parallel
        policy.eval()
        weights = list(policy.parameters())
        device = weights[0].device
        old = batch.log_prob.to(device)
        gain = torch.from_numpy(batch.advantage).to(device)

        def look(pieces: Iterable[Piece], *, learn: bool) -> tuple[torch.Tensor, torch.Tensor]:
            """Two sums over the pieces, and the largest ratio; set the gradients to ``learn``.

            The sums are those of the KL terms, and of the pieces without a finite loss.
            """
            optimiser.zero_grad(set_to_none=True)
            sums, largest = old.new_zeros(2), old.new_zeros(())
            for indices, log_prob in pieces:
                gains = surrogate(log_prob, old[indices], gain[indices], clip=settings.clip)
                loss = -gains.sum() / len(batch.tokens)
                if learn:
                    loss.backward()  # type: ignore[no-untyped-call]
                ratio = (log_prob.detach() - old[indices]).max().clamp(max=MAX_LOG_RATIO).exp()
                largest = torch.maximum(largest, ratio)
                sums[0] += kl_terms(log_prob.detach(), old[indices]).sum() / len(batch.tokens)
                sums[1] += ~torch.isfinite(loss)
            return sums, largest

        learn = partial(look, learn=True)
        limit = settings.max_kl_step
        columns = {"ratio_max": 0.0, "grad_norm": 0.0, "kl_step": 0.0, "ppo_epochs": 0}
        previous: list[torch.Tensor] = []  # the weights before the last step, if there is a limit
        for _ in range(settings.ppo_epochs):
            scores = Scores(policy, batch.tokens, batch.constraints, parallel)
            # The last look is often beyond the limit, and then needs no gradient.
            kept = limit is not None and scores.keep()
            sums, largest = look(scores.kept, learn=False) if kept else scores.attempt(learn)
            columns["ratio_max"] = max(columns["ratio_max"], float(largest))
            total = parallel.sum(sums) if kept else parallel.sum_gradients(weights, sums)
            before, columns["kl_step"] = columns["kl_step"], float(total[0])
            if limit is not None and columns["kl_step"] > limit:
                fraction = shortened(before, columns["kl_step"], limit)
                with torch.no_grad():
                    for weight, start in zip(weights, previous, strict=True):
                        weight.copy_(torch.lerp(start, weight, fraction))
                break
            if kept:
                sums, _ = scores.attempt(learn)
                total = parallel.sum_gradients(weights, sums)
            norm = float(torch.nn.utils.clip_grad_norm_(weights, settings.clip_norm))
            if total[1] or not np.isfinite(norm):
                return Update(finite=False, columns=columns | {"grad_norm": norm})
            columns["grad_norm"] = max(columns["grad_norm"], norm)
            if limit is not None:
                previous = [weight.detach().clone() for weight in weights]
            optimiser.step()
            columns["ppo_epochs"] += 1
        columns["ratio_max"] = parallel.max(columns["ratio_max"])
        return Update(finite=True, columns=columns)
