"""Settings of the rewards for a property, and the list of properties."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from crystalformer_rl.config.fields import FilePath
from crystalformer_rl.config.reward_base import Component, RewardSettings

PropertyName = Literal[
    "band_gap", "dielectric", "density", "volume_per_atom", "elements", "log_price",
    "log_abundance", "hhi_production", "hhi_reserve",
]  # fmt: skip


@dataclass(frozen=True)
class Property:
    """A property that can be rewarded.

    Attributes
    ----------
    title, unit
        For the report and the docs.
    source
        Where the numbers come from, for the docs.
    potential
        The potential whose features predict it; None if it follows from the crystal. A property
        that is predicted has a standard deviation and is a column of the table of structures.
    """

    title: str
    unit: str
    source: str
    potential: str | None = None


_HHI = (
    "geographical concentration of the elements by mass, from 0 to 10,000; "
    "[Gaultois et al.](https://doi.org/10.1021/cm400893e), table of pymatgen (MIT)"
)
_PREDICTED = "ensemble on the features of CHGNet, comes with the package"
PROPERTIES: Mapping[PropertyName, Property] = {
    "band_gap": Property("band gap", "eV", _PREDICTED, "chgnet"),
    "dielectric": Property("electronic dielectric constant", "", _PREDICTED, "chgnet"),
    "density": Property("mass density", "g/cm³", "the crystal"),
    "volume_per_atom": Property("volume per atom", "Å³", "the crystal"),
    "elements": Property("number of elements", "", "the crystal"),
    "log_price": Property(
        "price of the elements",
        "log10 US$/kg",
        "mean by mass; prices of 2013 from Wolfram Alpha and Wikipedia, table of pymatgen (MIT)",
    ),
    "log_abundance": Property(
        "abundance of the scarcest element",
        "log10 mg/kg",
        "in the Earth's crust; CRC Handbook, table of SMACT (MIT)",
    ),
    "hhi_production": Property("HHI of production", "", _HHI),
    "hhi_reserve": Property("HHI of reserves", "", _HHI),
}
"""The properties of the reward ``property``, by name."""


class TargetReward(RewardSettings):
    """A property x between two limits, turned into a number from 0 to 1.

    Beyond a limit it counts as at the limit. MatInvent (arXiv 2511.03112) has these settings too.
    """

    target: float | Literal["ascending", "descending"] = Field(
        description="The value aimed at, or `ascending` (the higher, the better), or `descending`."
    )
    minimum: float = Field(description="A lower value counts as this one.")
    maximum: float = Field(description="A higher value counts as this one.")

    @property
    def bounds(self) -> tuple[float, float]:
        """From 0 to 1."""
        return (0, 1)

    @property
    def aim(self) -> str:
        """The target in words."""
        return self.target if isinstance(self.target, str) else f"near {self.target:g}"

    @model_validator(mode="after")
    def _limits_in_order(self) -> "TargetReward":
        low, high = self.minimum, self.maximum
        if low >= high:
            raise ValueError(f"minimum {low:g} must be below maximum {high:g}")
        if not isinstance(self.target, str) and not low <= self.target <= high:
            raise ValueError(
                f"target {self.target:g} must be between minimum {low:g} and maximum {high:g}"
            )
        return self


class PropertyReward(TargetReward):
    """A property of the crystal as generated: the more, the less or the nearer, the better."""

    module = "crystalformer_rl.rewards.property"
    title = "a property"
    value = (
        "`ascending`: (x − min)/(max − min); `descending`: (max − x)/(max − min); a number t: "
        "1 − abs(x − t)/max(t − min, max − t); failures 0"
    )
    needs = "CHGNet for `band_gap` and `dielectric`"

    kind: Literal["property"] = "property"
    name: PropertyName = Field(
        description="The property; docs/reference/rewards.md lists them with units and sources."
    )

    @property
    def about(self) -> Property:
        """The row of the list of properties."""
        return PROPERTIES[self.name]

    @property
    def subject(self) -> str:
        """The property and its target."""
        return f"its {self.about.title} ({self.aim})"

    @property
    def components(self) -> Mapping[str, Component]:
        """The property, and its standard deviation if it is predicted."""
        title, unit = self.about.title, self.about.unit
        found = {str(self.name): Component(f"mean {title}", unit)}
        if self.about.potential is not None:
            found[f"{self.name}_std"] = Component(f"mean std of the {title}", unit)
        return found

    @property
    def column(self) -> str | None:
        """The property, if it is predicted."""
        return None if self.about.potential is None else self.name

    @property
    def potential_used(self) -> str | None:
        """The potential of the features."""
        return self.about.potential


class MatglPropertyReward(TargetReward):
    """A property that a model of the package matgl predicts for the crystal as generated."""

    module = "crystalformer_rl.rewards.matgl_property"
    title = "a property predicted by matgl"
    value = "as `property`"
    needs = "the package matgl and a model"

    kind: Literal["matgl_property"] = "matgl_property"
    model: FilePath = Field(
        description="Folder of a matgl model that predicts one number for a crystal, or its name "
        "on the hub."
    )
    state: int | None = Field(
        default=None,
        ge=0,
        description="State of a model of several fidelities, such as 0 for PBE; null: none.",
    )

    @property
    def subject(self) -> str:
        """The target."""
        return f"a predicted property ({self.aim})"

    @property
    def components(self) -> Mapping[str, Component]:
        """The property, in the unit of the model."""
        return {"predicted": Component("mean predicted property")}

    @property
    def potential_used(self) -> str:
        """The model; code and packages are those of the potentials of matgl."""
        return f"matgl:{self.model}"
