"""The use of the rewards in a step: baseline, advantages, and the weight of the KL penalty."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config import RLSettings
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.training.advantages import advantages, scale_of
from crystalformer_rl.training.baselines import BaselineState, baseline, baseline_outside
from crystalformer_rl.training.rollout import Rollout
from crystalformer_rl.training.round_state import RoundState
from crystalformer_rl.training.steering import next_tau

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Assessment:
    """The assessment of a batch of B crystals.

    Attributes
    ----------
    rewards
        Their rewards, as discounted by the memory.
    baseline, advantage
        (B,) see :mod:`crystalformer_rl.training.baselines` and
        :mod:`crystalformer_rl.training.advantages`.
    tau
        Weight of the KL penalty.
    state
        What the baseline remembers after the batch.
    """

    rewards: RewardBatch
    baseline: Floats
    advantage: Floats
    tau: float
    state: BaselineState

    def outside(
        self,
        value: Floats,
        log_ratio_to_base: Floats,
        space_groups: NDArray[np.int64],
        *,
        settings: RLSettings,
    ) -> Floats:
        """The (n,) advantages of n crystals with a reward that are not among those of the batch.

        They are compared with the baseline and the scale of the batch, and have no entropy term.
        """
        none = np.zeros(len(value), dtype=bool)
        return advantages(
            RewardBatch(value, valid=~none, abstain=none, components={}),
            log_ratio_to_base,
            np.zeros(len(value)),
            baseline=baseline_outside(self.state, self.rewards, space_groups, settings=settings),
            tau=self.tau,
            settings=settings,
            scale=scale_of(self.rewards, self.baseline, settings=settings),
        )


def assess(
    rollout: Rollout, state: RoundState, *, settings: RLSettings
) -> tuple[Assessment, RoundState]:
    """Assess the crystals of a step, and give the state for the next one."""
    expected, remembered = baseline(
        state.baseline, rollout.rewards, rollout.tokens.space_group, settings=settings
    )
    tau = settings.tau if state.tau is None else state.tau
    ratio_to_base = rollout.log_ratio_to_base
    advantage = advantages(
        rollout.rewards,
        ratio_to_base,
        rollout.log_discrete.numpy(),
        baseline=expected,
        tau=tau,
        settings=settings,
    )
    following = replace(
        state,
        step=state.step + 1,
        baseline=remembered,
        tau=next_tau(tau, float(ratio_to_base.mean()), settings=settings),
    )
    return Assessment(rollout.rewards, expected, advantage, tau, remembered), following
