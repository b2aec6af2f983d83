"""Replay: an update uses elites in addition to the crystals of its batch.

An elite is one more crystal of the batch, with the ratio of its probability to that before the
update, and with the advantage

    A = weight · max(0, A'),

where A' is what the batch gives to a crystal with its reward, discounted as that of one more
occurrence. Self-imitation (Oh et al., arXiv 1806.05178, equation 2) learns only from what was
better than expected, hence max(0, ·). The clipped ratio bounds what one step does to an elite, and
the KL penalty in A' ends its pull once it is likely enough. The term weight · mean ln p of
CrystalFormer-CSP (``--gamma``, over the best tenth of a batch) has no such bounds. Elites are not
samples of the policy, so that the gradient is biased towards them.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from crystalformer_rl.config import RLSettings
from crystalformer_rl.crystal.token_table import tokens_of
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.rewards.base import RewardBatch
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.training.algorithm import Batch
from crystalformer_rl.training.assessment import Assessment
from crystalformer_rl.training.past import Past
from crystalformer_rl.training.scoring import log_probs

Floats = NDArray[np.float64]


def with_elites(
    batch: Batch, policy: Policy, past: Past, assessed: Assessment, *, settings: RLSettings
) -> Batch:
    """The batch with elites of the steps before appended; the same batch if there are none yet."""
    seed = derive_seed(batch.seed, "elites")
    rows = past.elites.drawn(settings=settings.elites, seed=seed)
    if not len(rows):
        return batch
    tokens = tokens_of(rows)
    log_prob = log_probs(
        policy, tokens, constraints=batch.constraints, parallel=batch.parallel
    ).total
    base_log_prob = torch.from_numpy(rows["base_log_prob"].to_numpy(dtype=np.float64))
    weights = past.memory.next_weights(rows["key"].to_numpy(np.int64), settings.memory)
    rewards = _joined(batch.rewards, rows["value"].to_numpy(dtype=np.float64), weights)
    advantage = assessed.outside(
        rewards.value[len(batch.tokens) :],
        (log_prob - base_log_prob).numpy(),
        tokens.space_group,
        settings=settings,
    )
    gain = settings.elites.weight * np.maximum(0, advantage)
    return replace(
        batch,
        tokens=CrystalTokens.concatenate([batch.tokens, tokens]),
        log_prob=torch.cat([batch.log_prob, log_prob]),
        base_log_prob=torch.cat([batch.base_log_prob, base_log_prob]),
        rewards=rewards,
        advantage=np.concatenate([batch.advantage, gain]),
    )


def _joined(rewards: RewardBatch, value: Floats, weight: Floats) -> RewardBatch:
    """The rewards of the batch and those of elites, discounted by ``weight``; no components."""
    valid = np.ones(len(value), dtype=bool)
    return RewardBatch(
        value=np.concatenate([rewards.value, value]),
        valid=np.concatenate([rewards.valid, valid]),
        abstain=np.concatenate([rewards.abstain, ~valid]),
        components={},
        failure=rewards.failure,
    ).discounted(np.concatenate([np.ones_like(rewards.value), weight]))
