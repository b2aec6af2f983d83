"""What a reward is, and how one is made from its settings (the list: ``config/rewards.py``)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.config.rewards import HullReward, RewardSettings
from crystalformer_rl.stability.reference import ReferenceHull


@dataclass(frozen=True)
class RewardBatch:
    """Rewards of n crystals.

    Attributes
    ----------
    value
        (n,) finite; larger is better.
    valid
        (n,) whether the crystal has a reward; the others have the worst value.
    abstain
        (n,) where the reward cannot decide (see :mod:`crystalformer_rl.rewards.guards`): the
        advantage must be 0 there, and the value stays out of the baseline. Such crystals are not
        ``valid`` and have the worst value, so a trainer that ignores abstention turns away from
        them.
    components
        What the value was made of, (n,) each, NaN where unknown; for the history and the report.
        The settings class of the reward declares their titles and units.
    failure
        The value of a crystal without a reward; None stands for the lowest value of the batch.
    """

    value: NDArray[np.float64]
    valid: NDArray[np.bool_]
    abstain: NDArray[np.bool_]
    components: Mapping[str, NDArray[np.float64]]
    failure: float | None = None

    def __post_init__(self) -> None:
        arrays = {"valid": self.valid, "abstain": self.abstain, **self.components}
        for name, array in arrays.items():
            if array.shape != self.value.shape:
                raise ValueError(f"{name} has shape {array.shape}, value {self.value.shape}")

    def discounted(self, weight: NDArray[np.float64]) -> "RewardBatch":
        """The same batch with the values of valid crystals moved towards that of a failure.

        Parameters
        ----------
        weight
            (n,) from 0, which leaves nothing, to 1, which changes nothing.
        """
        failure = self.value.min(initial=np.inf) if self.failure is None else self.failure
        moved = failure + weight * (self.value - failure)
        return replace(self, value=np.where(self.valid, moved, self.value))


class Reward(Protocol):
    """Something that rewards crystals as they were generated, unrelaxed."""

    def score(self, structures: Sequence[Structure | None]) -> RewardBatch:
        """Reward a batch; None stands for a crystal that could not be decoded."""
        ...


def build(
    settings: RewardSettings,
    *,
    hull: ReferenceHull | None = None,
    device: str,
    trust_pickles: bool = False,
) -> Reward:
    """Make a reward by the function ``build`` of its module.

    That function gets the settings and the device; if the settings are a ``HullReward``, also the
    hull and ``trust_pickles``.

    Parameters
    ----------
    hull
        Hull of the reward's potential; None if it has no potential.
    device
        Where a potential runs.
    trust_pickles
        Whether its potential may be loaded from files that can run code.

    Raises
    ------
    ValueError
        If the reward needs a hull and there is none.
    """
    module: Any = import_module(settings.module)
    reward: Reward
    if not isinstance(settings, HullReward):
        reward = module.build(settings, device=device)
    elif hull is None:
        raise ValueError(f"the reward {settings.kind} needs a hull: give its folder with --hull")
    else:
        reward = module.build(settings, hull=hull, device=device, trust_pickles=trust_pickles)
    return reward
