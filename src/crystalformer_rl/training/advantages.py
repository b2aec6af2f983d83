"""Advantages: the weights of the crystals' log-probabilities in the policy gradient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config import RLSettings
from crystalformer_rl.rewards.base import RewardBatch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """The conversion of the gains r − b of a batch to advantages.

    Attributes
    ----------
    spread
        s: standard deviation of r − b over the crystals that count, or 1 for a raw advantage; 0
        where all gains are the same.
    cut
        c: what the clip takes from the scaled gains of these crystals, on average.
    """

    spread: float
    cut: float

    def apply(self, gain: Floats, *, settings: RLSettings) -> Floats:
        """(n,) scaled and clipped gains, with the mean that they had before the clip."""
        scaled = gain / self.spread if self.spread > 0 else np.zeros_like(gain)
        return _clipped(scaled, settings) + self.cut


def scale_of(rewards: RewardBatch, baseline: Floats, *, settings: RLSettings) -> Scale:
    """The scale of a batch."""
    gain = (rewards.value - baseline)[~rewards.abstain]
    if not gain.size:
        return Scale(0.0, 0.0)
    spread = float(gain.std()) if settings.advantage == "standardised" else 1.0
    scaled = gain / spread if spread > 0 else np.zeros_like(gain)
    return Scale(spread, float((scaled - _clipped(scaled, settings)).mean()))


def advantages(
    rewards: RewardBatch,
    log_ratio_to_base: Floats,
    log_discrete: Floats,
    *,
    baseline: Floats,
    tau: float,
    settings: RLSettings,
    scale: Scale | None = None,
) -> Floats:
    """(B,) weight · (clip(G) + c) − τ ln(p_old/p_base) − η (ln p_d − mean ln p_d).

    G = r − b, or with ``standardised`` G = (r − b)/s. A positive affine change of all rewards does
    not change it, so that τ is then in units of this spread per nat. s = 0 gives G = 0. c restores
    the mean of G: a reward that is large for a few crystals loses more at its upper end than at its
    lower one, and the crystals that count would have negative gains on average. Those from which
    the reward abstains have none and would gain probability. s and c are those of :class:`Scale`.

    The KL penalty is evaluated once, with the policy that sampled the crystals, and stays fixed
    over the gradient steps on the batch: it is part of the reward, not of the loss. Where the
    reward abstains, only the penalty is left. Without it such crystals would gain probability
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
    scale
        For crystals that do not belong to the batch; None: of these crystals.
    """
    scale = scale or scale_of(rewards, baseline, settings=settings)
    gain = scale.apply(rewards.value - baseline, settings=settings)
    gain = np.where(rewards.abstain, 0.0, gain)
    surprise = log_discrete - log_discrete.mean()
    return np.asarray(
        settings.weight * gain - tau * log_ratio_to_base - settings.entropy * surprise
    )


def _clipped(scaled: Floats, settings: RLSettings) -> Floats:
    if settings.advantage_clip is None:
        return scaled
    return np.clip(scaled, -settings.advantage_clip, settings.advantage_clip)
