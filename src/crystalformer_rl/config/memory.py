"""The memory of a branch of RL for its own samples: sections ``memory`` and ``elites``."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from crystalformer_rl.config.fields import Neutral, PositiveInt, Section
from crystalformer_rl.config.presets import DEFAULT, PRESETS


class MemorySettings(Section):
    """Discount of crystals that the branch has sampled before, or that the dataset has."""

    by: Literal["composition", "prototype"] | None = Field(
        default=PRESETS[DEFAULT]["memory"]["by"],
        description="What counts as a repeat: the same reduced `composition`; or the same "
        "`prototype`, that is space group and elements on Wyckoff letters. Null: repeats count in "
        "full.",
    )
    full: PositiveInt = Field(
        default=3, description="Number of occurrences that are rewarded in full."
    )
    none: PositiveInt = Field(
        default=6,
        description="This occurrence, and every later one, is rewarded like a failure; the weight "
        "falls linearly in between. The repeats in a batch share the mean of their weights.",
    )
    window: PositiveInt | None = Field(
        default=None,
        description="Number of crystals with a reward that are remembered, the last ones; null: "
        "all.",
    )

    known: Annotated[float, Neutral(1.0)] = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Weight of a crystal whose reduced formula the dataset has; 1: it counts in "
        "full.",
    )

    @model_validator(mode="after")
    def _full_before_none(self) -> "MemorySettings":
        if self.full >= self.none:
            raise ValueError(f"full {self.full} must be below none {self.none}")
        return self


class EliteSettings(Section):
    """Replay of the best crystals of the branch in every update."""

    weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight of a replayed crystal relative to a sampled one; 0: no elites. Elites "
        "need a memory (`memory.by`).",
    )
    kept: PositiveInt = Field(
        default=100,
        description="Number of best crystals kept, one of each composition and space group.",
    )
    replayed: PositiveInt = Field(
        default=10, description="Number of them, drawn at random, that every update sees again."
    )

    @model_validator(mode="after")
    def _replayed_among_kept(self) -> "EliteSettings":
        if self.replayed > self.kept:
            raise ValueError(f"replayed {self.replayed} must not exceed kept {self.kept}")
        return self
