"""Settings of the rewards that use a hull."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from crystalformer_rl.config.fields import PositiveFloat
from crystalformer_rl.config.reward_base import (
    DEFAULT_GUARDS,
    E_ABOVE_HULL,
    Component,
    HullReward,
)

_REFERENCES = Component("mean number of known compositions")
_SINGLE = {"guards": [name for name in DEFAULT_GUARDS if name != "failures"]}


class EhullReward(HullReward):
    """A falling function of the energy above hull of the crystal as generated."""

    module = "crystalformer_rl.rewards.ehull"
    title = "its energy above hull"
    value = (
        "`saturating`: exp(−max(E_hull, 0)/`scale`), failures 0; `linear`: −clip(E_hull, `floor`, "
        "`ceiling`), eV/atom, failures −`ceiling`"
    )
    needs = "potential, hull"
    single: ClassVar = _SINGLE

    kind: Literal["ehull"] = "ehull"
    shape: Literal["saturating", "linear"] = Field(
        default="saturating",
        description="`saturating`: exp(−max(E_hull, 0)/`scale`), from 0 (failures) to 1; `linear`: "
        "−E_hull, eV/atom, between `floor` and `ceiling`.",
    )
    scale: PositiveFloat = Field(
        default=0.15,
        description="E_hull at which the saturating reward has fallen to 1/e, eV/atom.",
    )
    relax_steps: int = Field(
        default=0,
        ge=0,
        description="Steps of relaxation of positions and cell before E_hull is taken; 0: as "
        "generated. Each step costs one more evaluation of the batch.",
    )
    floor: float = Field(
        default=-0.1,
        description="A lower E_hull counts as this value in the linear reward, eV/atom.",
    )
    ceiling: float = Field(
        default=6.0,
        description="A higher E_hull, and every failure that no guard moves, counts as this value "
        "in the linear reward, eV/atom.",
    )

    @property
    def components(self) -> Mapping[str, Component]:
        """Energy above hull and known compositions."""
        return {"e_above_hull": E_ABOVE_HULL, "references": _REFERENCES}

    @property
    def bounds(self) -> tuple[float, float]:
        """From 0 to 1, or from −ceiling to −floor."""
        return (0, 1) if self.shape == "saturating" else (-self.ceiling, -self.floor)

    @model_validator(mode="after")
    def _floor_below_ceiling(self) -> "EhullReward":
        if self.floor >= self.ceiling:
            raise ValueError(f"floor {self.floor} must be below ceiling {self.ceiling}")
        return self


class FigureOfMeritReward(HullReward):
    """Band gap (eV) × electronic dielectric constant, predicted from CHGNet features."""

    module = "crystalformer_rl.rewards.figure_of_merit"
    title = "predicted band gap × dielectric constant, with a stability guard"
    value = (
        "max(0, gap − c·σ) · max(1, ε − c·σ) · exp(−max(E_hull, 0)/`scale`), eV, with the standard "
        "deviations σ of the ensembles and c = `caution`; 0 above `max_e_above_hull` and for "
        "failures"
    )
    needs = "CHGNet, hull"
    single: ClassVar = _SINGLE

    kind: Literal["figure_of_merit"] = "figure_of_merit"
    potential: Literal["chgnet"] = Field(
        default="chgnet", description="Potential of the features and of the stability guard."
    )
    caution: float = Field(
        default=0.5,
        ge=0,
        description="Ensemble standard deviations subtracted from each predicted property.",
    )
    scale: PositiveFloat | None = Field(
        default=0.5,
        description="E_hull at which the reward has fallen to 1/e, eV/atom; null: the reward does "
        "not depend on E_hull below the limit.",
    )
    max_e_above_hull: float | None = Field(
        default=None,
        description="A crystal with a higher energy above hull (unrelaxed, eV/atom) scores 0; "
        "null: no limit.",
    )

    @property
    def components(self) -> Mapping[str, Component]:
        """The predictions with their spreads, and what the E_hull reward records."""
        return {
            "figure_of_merit": Component("mean figure of merit", "eV"),
            "band_gap": Component("mean band gap", "eV"),
            "band_gap_std": Component("mean std of the band gap", "eV"),
            "dielectric": Component("mean dielectric constant"),
            "dielectric_std": Component("mean std of the dielectric constant"),
            "e_above_hull": E_ABOVE_HULL,
            "unstable": Component("fraction above max_e_above_hull"),
            "references": _REFERENCES,
        }

    @property
    def column(self) -> str:
        """The figure of merit."""
        return "figure_of_merit"
