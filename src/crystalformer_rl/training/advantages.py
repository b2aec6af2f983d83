"""Advantages: what the policy gradient multiplies the probability of each crystal with."""

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config import RLSettings
from crystalformer_rl.rewards.base import RewardBatch

Floats = NDArray[np.float64]


def advantages(
    rewards: RewardBatch,
    log_ratio_to_base: Floats,
    log_discrete: Floats,
    *,
    baseline: Floats,
    tau: float,
    settings: RLSettings,
    spread: float | None = None,
) -> Floats:
    """(B,) weight · clip(G) − τ ln(p_old/p_base) − η (ln p_d − mean ln p_d).

    G = r − b, or with ``standardised`` G = (r − b)/s, where s is the standard deviation of r − b
    over the crystals that count. A positive affine change of all rewards does not change it, so
    that τ is then in units of this spread per nat. s = 0 gives G = 0.

    The KL penalty is evaluated once, with the policy that sampled the crystals, and stays fixed
    over the gradient steps on the batch: it is part of the reward, not of the loss. Where the
    reward abstains, G is 0 and the penalty is left. Without it such crystals would gain probability
    relative to all others as the policy moves away from the base.

    η = ``settings.entropy`` weights the entropy of letters and elements. Their ln p_d is the
    score-function estimate of its gradient: ∇H = −E[ln p_d ∇ ln p] (Williams and Peng, Connection
    Science 3, 241, 1991). Densities of coordinates are left out, because their entropy is largest
    for sites anywhere.

    Parameters
    ----------
    log_ratio_to_base
        (B,) ln p_old − ln p_base.
    log_discrete
        (B,) ln p_d of the letters and elements under the policy that sampled them.
    baseline
        (B,) see :func:`crystalformer_rl.training.baselines.baseline`.
    tau
        Weight of the KL penalty in this step.
    spread
        s, for crystals that do not belong to the batch; None: of these crystals.
    """
    gain = np.where(rewards.abstain, 0.0, rewards.value - baseline)
    if settings.advantage == "standardised":
        if spread is None:
            spread = spread_of(rewards, baseline)
        gain = gain / spread if spread > 0 else np.zeros_like(gain)
    if settings.advantage_clip is not None:
        gain = np.clip(gain, -settings.advantage_clip, settings.advantage_clip)
    surprise = log_discrete - log_discrete.mean()
    return np.asarray(
        settings.weight * gain - tau * log_ratio_to_base - settings.entropy * surprise
    )


def spread_of(rewards: RewardBatch, baseline: Floats) -> float:
    """Standard deviation of r − b over the crystals that count; 0 if there is none."""
    gain = (rewards.value - baseline)[~rewards.abstain]
    return float(gain.std()) if gain.size else 0.0
