"""The state that passes from step to step and from round to round in addition to the weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crystalformer_rl.training.baselines import BaselineState


@dataclass(frozen=True)
class RoundState:
    """The state of a branch of reinforcement between two steps.

    It is part of every checkpoint, and a round writes it next to its policy for the next round.

    Attributes
    ----------
    step
        Number of steps in all rounds so far.
    baseline
        What the baseline remembers.
    tau
        Weight of the KL penalty in the next step; None before the first step.
    """

    step: int = 0
    baseline: BaselineState = field(default_factory=BaselineState)
    tau: float | None = None

    def values(self) -> dict[str, Any]:
        """The state, serialisable as JSON; :meth:`restore` gets back exactly the same."""
        return {
            "step": self.step,
            "baseline": {
                "mean": self.baseline.mean,
                "groups": [[group, *sums] for group, sums in self.baseline.groups.items()],
            },
            "tau": self.tau,
        }

    @classmethod
    def restore(cls, values: Mapping[str, Any]) -> "RoundState":
        """The state that :meth:`values` described."""
        mean, groups = values["baseline"]["mean"], values["baseline"]["groups"]
        return cls(
            step=values["step"],
            baseline=BaselineState(mean, {group: (sum_, count) for group, sum_, count in groups}),
            tau=values["tau"],
        )
