"""The interface of rewards, built from their settings (the list: ``config/rewards.py``)."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config.reward_base import RewardSettings
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.jobs.parallel import SINGLE, Parallel
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.cached import CachedPotential
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.potentials.shared import SharedPotential
from crystalformer_rl.rewards.energies import EnergyAboveHull
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
        The settings of the reward declare their titles and units.
    failure
        The value of a crystal without a reward; None means the lowest value of the batch.
    struck
        By guard, (n,) whether it struck; the history has the fraction of the batch.
    """

    value: NDArray[np.float64]
    valid: NDArray[np.bool_]
    abstain: NDArray[np.bool_]
    components: Mapping[str, NDArray[np.float64]]
    failure: float | None = None
    struck: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = {
            "valid": self.valid,
            "abstain": self.abstain,
            **self.struck,
            **self.components,
        }
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

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch; None is a crystal that could not be decoded."""
        ...


class Sources:
    """The objects that rewards need in addition to their settings; parts of a reward share them.

    Parameters
    ----------
    device
        Where potentials run.
    hull
        Hull of the potential, for rewards that need one.
    known
        Reduced formulas of the dataset, for rewards that compare with it.
    trust_pickles
        Whether a potential may be loaded from files that can run code.
    parallel
        The processes that share the work of potentials and other models.
    check
        Called in every process before each evaluation of a potential.
    """

    def __init__(
        self,
        *,
        device: str,
        hull: ReferenceHull | None = None,
        known: AbstractSet[str] | None = None,
        trust_pickles: bool = False,
        parallel: Parallel = SINGLE,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.device = device
        self.trust_pickles = trust_pickles
        self.parallel = parallel
        self._check = check
        self._hull, self._known = hull, known
        self._potentials: dict[str, Potential] = {}

    def potential(self, spec: str) -> Potential:
        """The potential, loaded once; it never evaluates a crystal twice."""
        if spec not in self._potentials:
            potential = load(spec, device=self.device, trust_pickles=self.trust_pickles)
            shared = SharedPotential(potential, self.parallel, check=self._check)
            self._potentials[spec] = CachedPotential(shared)
        return self._potentials[spec]

    def energies(self, spec: str) -> EnergyAboveHull:
        """Its energies on the hull; ValueError if there is none."""
        if self._hull is None:
            raise ValueError("it needs a hull: give its folder with --hull")
        return EnergyAboveHull(self.potential(spec), self._hull)

    @property
    def known(self) -> AbstractSet[str]:
        """Reduced formulas of the dataset; ValueError if it is not given."""
        if self._known is None:
            raise ValueError("it needs the dataset: give its structures.parquet with --known")
        return self._known


def build(settings: RewardSettings, sources: Sources) -> Reward:
    """Make a reward by the function ``build(settings, sources)`` of its module.

    Raises
    ------
    ValueError
        If it cannot be made, for example because it needs a hull and there is none.
    """
    module: Any = import_module(settings.module)
    try:
        reward: Reward = module.build(settings, sources)
    except ValueError as error:
        raise ValueError(f"the reward {settings.kind}: {error}") from error
    return reward
