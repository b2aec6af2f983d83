"""A property as a number from 0 to 1, the larger the nearer to the target."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config.property_rewards import TargetReward
from crystalformer_rl.rewards.base import RewardBatch

Floats = NDArray[np.float64]


def nearness(values: Floats, settings: TargetReward) -> Floats:
    """(n,) from 0 to 1; NaN stays NaN.

    ``ascending``: (x − minimum)/(maximum − minimum). ``descending``: 1 minus that. A number t:
    1 − |x − t|/d, with the distance d from t to the limit that is farther. x is cut at the limits.
    """
    low, high, target = settings.minimum, settings.maximum, settings.target
    inside = np.clip(values, low, high)
    if target == "ascending":
        return np.asarray((inside - low) / (high - low))
    if target == "descending":
        return np.asarray((high - inside) / (high - low))
    return np.asarray(1 - np.abs(inside - target) / max(target - low, high - target))


def rewarded(
    values: Floats, settings: TargetReward, *, components: Mapping[str, Floats]
) -> RewardBatch:
    """The batch whose crystals have a property, or NaN, which is a failure and worth 0."""
    known = np.isfinite(values)
    return RewardBatch(
        value=np.where(known, nearness(values, settings), 0.0),
        valid=known,
        abstain=np.zeros(len(values), dtype=np.bool_),
        components=components,
        failure=0.0,
    )
