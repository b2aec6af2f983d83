"""What a branch of RL remembers of its run: sections ``memory`` and ``elites``."""

from typing import Literal

from pydantic import Field, model_validator

from crystalformer_rl.config.fields import PositiveFloat, PositiveInt, Section


class MemorySettings(Section):
    """Discount of crystals that the branch has sampled before, in any of its steps."""

    by: Literal["composition", "prototype"] = Field(
        default="composition",
        description="What counts as a repeat: the same reduced composition; or the same space "
        "group with the same elements on the same Wyckoff letters.",
    )
    full: PositiveInt = Field(
        default=3, description="Number of occurrences that are rewarded in full."
    )
    none: PositiveInt = Field(
        default=6,
        description="This occurrence, and every later one, gets the reward of a failure; the "
        "weight falls linearly in between. All crystals of a composition in a batch share the "
        "mean weight.",
    )
    window: PositiveInt | None = Field(
        default=None,
        description="Only the last so many crystals with a reward are remembered; null: all.",
    )

    @model_validator(mode="after")
    def _full_before_none(self) -> "MemorySettings":
        if self.full >= self.none:
            raise ValueError(f"full {self.full} must be below none {self.none}")
        return self


class EliteSettings(Section):
    """Replay of the best crystals of the branch."""

    kept: PositiveInt = Field(
        default=100,
        description="Number of best crystals kept, one of each composition and space group.",
    )
    replayed: PositiveInt = Field(
        default=10, description="Number of them, drawn at random, that every update sees again."
    )
    weight: PositiveFloat = Field(
        default=1.0, description="Weight of a replayed crystal relative to a sampled one."
    )

    @model_validator(mode="after")
    def _replayed_among_kept(self) -> "EliteSettings":
        if self.replayed > self.kept:
            raise ValueError(f"replayed {self.replayed} must not exceed kept {self.kept}")
        return self
