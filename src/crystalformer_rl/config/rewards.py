"""The list of rewards: their settings, and the facts that the workflow and the report need.

Adding one takes a module in ``rewards/`` with a function ``build``; a settings class here, or in a
module that is imported here, that is named in :data:`SingleReward`; and a test. Whatever names
rewards reads this list.
"""

from collections.abc import Mapping
from math import log
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from crystalformer_rl.config.fields import (
    Fraction,
    Name,
    PositiveFloat,
    PotentialName,
    Section,
    without_nulls,
)
from crystalformer_rl.config.file_reward import FileReward
from crystalformer_rl.config.hull_rewards import EhullReward, FigureOfMeritReward
from crystalformer_rl.config.property_rewards import MatglPropertyReward, PropertyReward
from crystalformer_rl.config.reward_base import Component, RewardSettings


class ForceReward(RewardSettings):
    """Small forces and stresses of the crystal as generated: minus the logarithm of their sum."""

    module = "crystalformer_rl.rewards.force"
    title = "its forces and stresses"
    value = (
        "−ln(F + w·S), with the mean force F (eV/Å) of the atoms and the mean size S (eV/Å³) of "
        "the six stresses, each number cut to the range from `floor` to `ceiling`, and "
        "w = `stress_weight`; failures as if F = S = `ceiling`"
    )
    needs = "potential"

    kind: Literal["force"] = "force"
    potential: PotentialName = Field(
        default="chgnet", description="Potential of the forces; the hull may be of another."
    )
    stress_weight: float = Field(
        default=1.0, ge=0, description="Weight of the stress (eV/Å³) relative to the force (eV/Å)."
    )
    floor: PositiveFloat = Field(
        default=0.01, description="A smaller force or stress counts as this one, eV/Å and eV/Å³."
    )
    ceiling: PositiveFloat = Field(
        default=100.0, description="A larger force or stress counts as this one, eV/Å and eV/Å³."
    )

    @property
    def components(self) -> Mapping[str, Component]:
        """Force and stress, uncut."""
        return {
            "force": Component("mean force", "eV/Å"),
            "stress": Component("mean size of the stress", "eV/Å³"),
        }

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the largest and the smallest force and stress that count."""
        sizes = 1 + self.stress_weight
        return (-log(self.ceiling * sizes), -log(self.floor * sizes))

    @model_validator(mode="after")
    def _floor_below_ceiling(self) -> "ForceReward":
        if self.floor >= self.ceiling:
            raise ValueError(f"floor {self.floor:g} must be below ceiling {self.ceiling:g}")
        return self

    @property
    def potential_used(self) -> str:
        """The potential of the forces."""
        return self.potential


class NoveltyReward(RewardSettings):
    """Formulas that the dataset does not have."""

    module = "crystalformer_rl.rewards.novelty"
    title = "the novelty of its formula"
    value = "1 if no split of the dataset has its reduced formula, else `known`; failures 0"
    needs = "dataset"
    single = None

    kind: Literal["novelty"] = "novelty"
    known: Fraction = Field(
        default=0.3, description="Value of a crystal whose reduced formula the dataset has."
    )

    @property
    def components(self) -> Mapping[str, Component]:
        """Whether the formula is new."""
        return {"novel_formula": Component("fraction of new formulas")}

    @property
    def bounds(self) -> tuple[float, float]:
        """From 0 to 1."""
        return (0, 1)

    @property
    def needs_dataset(self) -> bool:
        """True: it compares crystals with those of the dataset."""
        return True


class DiversityReward(RewardSettings):
    """Elements or compositions that are rare in the batch."""

    module = "crystalformer_rl.rewards.diversity"
    title = "the rarity of its elements or its composition in the batch"
    value = (
        "`elements`: mean over its elements of the fraction of the other crystals without the "
        "element; `composition`: 1/(number of crystals of its reduced composition); failures 0"
    )
    single = None

    kind: Literal["diversity"] = "diversity"
    over: Literal["elements", "composition"] = Field(
        default="elements", description="What is to vary over the crystals of a batch."
    )

    @property
    def components(self) -> Mapping[str, Component]:
        """The value."""
        return {"rarity": Component(f"mean rarity of {self.over} in the batch")}

    @property
    def bounds(self) -> tuple[float, float]:
        """From 0 to 1."""
        return (0, 1)


SingleReward = (
    EhullReward  # one line per reward
    | FigureOfMeritReward
    | PropertyReward
    | MatglPropertyReward
    | ForceReward
    | NoveltyReward
    | DiversityReward
    | FileReward
)
"""The settings of any reward but ``combine``, which is made of these."""


class PartSettings(Section):
    """A reward within a combination."""

    reward: Annotated[SingleReward, Field(discriminator="kind")] = Field(
        description="Any reward but another `combine`."
    )
    weight: PositiveFloat = Field(
        default=1.0, description="Weight in the sum; power in the product."
    )
    minimum: float | None = Field(
        default=None,
        description="A value of the reward that counts as 0, and every lower one; null: its "
        "smallest possible value.",
    )
    maximum: float | None = Field(
        default=None,
        description="A value of the reward that counts as 1, and every higher one; null: its "
        "largest possible value.",
    )

    @property
    def limits(self) -> tuple[float, float]:
        """The values that become 0 and 1."""
        low, high = self.reward.bounds or (self.minimum, self.maximum)
        low = low if self.minimum is None else self.minimum
        high = high if self.maximum is None else self.maximum
        if low is None or high is None:
            raise ValueError(
                f"a reward of the kind {self.reward.kind} has no bounds: set minimum and maximum, "
                "the values that are to become 0 and 1"
            )
        return low, high

    @model_validator(mode="after")
    def _limits_in_order(self) -> "PartSettings":
        low, high = self.limits
        if low >= high:
            raise ValueError(f"minimum {low:g} must be below maximum {high:g}")
        return self


class CombineReward(RewardSettings):
    """Several rewards in one, each normalised to 0 to 1."""

    module = "crystalformer_rl.rewards.combine"
    title = "a combination of rewards"
    value = (
        "of the values v of the parts, scaled linearly from `minimum` and `maximum` to 0 and 1, "
        "and their weights w: `sum`: Σ w v/Σ w; `product`: Π v^w; `minimum`: the smallest v; "
        "failures: the same of the parts' values of a failure"
    )
    needs = "what its parts need"

    kind: Literal["combine"] = "combine"
    how: Literal["sum", "product", "minimum"] = Field(
        description="How the values of the parts become one."
    )
    parts: dict[Name, PartSettings] = Field(
        min_length=1,
        description="The rewards, by names of your own. In an overlay, null removes one.",
    )

    @field_validator("parts", mode="before")
    @classmethod
    def _null_removes(cls, value: Any) -> Any:
        return without_nulls(value)

    @model_validator(mode="after")
    def _weights_count(self) -> "CombineReward":
        for name, part in self.parts.items():
            if self.how == "minimum" and part.weight != 1:
                raise ValueError(f"parts.{name}.weight has no effect on a minimum: leave it out")
        return self

    @staticmethod
    def column_of_value(part: str) -> str:
        """The component with the normalised value of a part."""
        return f"{part}_reward"

    def column_of(self, part: str, component: str) -> str:
        """The name of a part's component, with that of the part if another part has it too."""
        having = [name for name, one in self.parts.items() if component in one.reward.components]
        return component if len(having) == 1 else f"{part}_{component}"

    @property
    def subject(self) -> str:
        """How the parts are combined; the report names them."""
        return f"the {self.how} of several rewards"

    @property
    def components(self) -> Mapping[str, Component]:
        """The normalised value of each part, then what the parts record."""
        values = {
            self.column_of_value(name): Component(f"mean value of {name}") for name in self.parts
        }
        return values | {
            self.column_of(name, component): about
            for name, part in self.parts.items()
            for component, about in part.reward.components.items()
        }

    @property
    def bounds(self) -> tuple[float, float]:
        """From 0 to 1."""
        return (0, 1)

    @property
    def singles(self) -> Mapping[str, RewardSettings]:
        """The parts."""
        return {f".parts.{name}.reward": part.reward for name, part in self.parts.items()}

    @property
    def runs_code(self) -> bool:
        """Whether a part executes code."""
        return any(one.runs_code for one in self.singles.values())

    @property
    def needs_hull(self) -> bool:
        """Whether a part compares energies with a hull."""
        return any(one.needs_hull for one in self.singles.values())

    @property
    def needs_dataset(self) -> bool:
        """Whether a part compares crystals with those of the dataset."""
        return any(one.needs_dataset for one in self.singles.values())

    @property
    def files(self) -> list[str]:
        """Those of the parts."""
        return [file for one in self.singles.values() for file in one.files]


AnyReward = Annotated[SingleReward | CombineReward, Field(discriminator="kind")]
"""The settings of any reward."""
REWARDS: Mapping[str, type[RewardSettings]] = {
    settings.model_fields["kind"].default: settings for settings in get_args(get_args(AnyReward)[0])
}
"""The settings class of every reward, by kind."""
