"""What a reward is, and the registry of rewards.

A new reward is one module here with a ``build`` function, one settings class in ``config`` and one
line in :data:`REWARDS`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.config import EhullReward, FigureOfMeritReward
from crystalformer_rl.stability.reference import ReferenceHull

REWARDS: Mapping[str, str] = {
    "ehull": "crystalformer_rl.rewards.ehull",
    "figure_of_merit": "crystalformer_rl.rewards.figure_of_merit",
}


@dataclass(frozen=True)
class RewardBatch:
    """Rewards of n crystals.

    Attributes
    ----------
    value
        (n,) finite; larger is better.
    valid
        (n,) whether the crystal could be judged; the others have the reward's worst value.
    parts
        What the value was made of, (n,) each, NaN where unknown; for the history and the report.
    abstain
        (n,) where the reward has no opinion (see :mod:`crystalformer_rl.rewards.guards`): the
        advantage must be 0 there, and the value kept out of the baseline. Such crystals are not
        ``valid`` and have the worst value, so a trainer that does not know of abstaining turns
        away from them. Left out: nowhere.
    """

    value: NDArray[np.float64]
    valid: NDArray[np.bool_]
    parts: Mapping[str, NDArray[np.float64]]
    abstain: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    def __post_init__(self) -> None:
        if not self.abstain.size:
            object.__setattr__(self, "abstain", np.zeros(len(self.value), dtype=np.bool_))
        for name, array in {"valid": self.valid, "abstain": self.abstain, **self.parts}.items():
            if array.shape != self.value.shape:
                raise ValueError(f"{name} has shape {array.shape}, value {self.value.shape}")


class Reward(Protocol):
    """Something that judges crystals as they were generated, unrelaxed."""

    def score(self, structures: Sequence[Structure | None]) -> RewardBatch:
        """Judge a batch; None stands for a crystal that could not be decoded."""
        ...


def build(
    settings: EhullReward | FigureOfMeritReward,
    *,
    hull: ReferenceHull,
    device: str,
) -> Reward:
    """The reward that ``settings`` describe.

    Parameters
    ----------
    hull
        Hull of the reward's potential.
    device
        Where the potential runs.

    Raises
    ------
    ValueError
        If no reward is registered under ``settings.kind``.
    """
    if settings.kind not in REWARDS:
        raise ValueError(f"no reward {settings.kind!r}; there are: {', '.join(REWARDS)}")
    module: Any = import_module(REWARDS[settings.kind])
    reward: Reward = module.build(settings, hull=hull, device=device)
    return reward
