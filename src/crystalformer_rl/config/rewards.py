"""The list of rewards: their settings, and what the workflow and the report need to know of each.

Adding one takes a module in ``rewards/`` with a function ``build``; a settings
class here that is named in :data:`SingleReward`; and a test. Whatever names rewards reads
this list.
"""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from crystalformer_rl.config.fields import FilePath, PositiveFloat
from crystalformer_rl.config.reward_base import (
    DEFAULT_GUARDS,
    E_ABOVE_HULL,
    Component,
    HullReward,
    RewardSettings,
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
        "max(0, gap − c·σ) · max(1, ε − c·σ), eV, with the standard deviations σ of the ensembles "
        "and c = `caution`; 0 above `max_e_above_hull` and for failures"
    )
    needs = "CHGNet, hull"
    column = "figure_of_merit"
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
    max_e_above_hull: float | None = Field(
        default=0.1,
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


class FileReward(RewardSettings):
    """The score of a Python file of your own."""

    module = "crystalformer_rl.rewards.file"
    title = "the scores of a Python file of the user"
    value = "what the function `score` returns; failures get the lowest score of their batch"
    needs = "`jobs.trust_code`"
    runs_code = True

    kind: Literal["file"] = "file"
    path: FilePath = Field(
        description="Python file with a function `score(structures)` that returns one number for "
        "each crystal, larger is better. The run executes it, so `jobs.trust_code` must be set.",
    )

    @property
    def components(self) -> Mapping[str, Component]:
        """The score."""
        return {"score": Component("mean score of decoded crystals")}

    @property
    def files(self) -> list[str]:
        """The file itself."""
        return [self.path]

    def problem(self) -> str | None:
        """Why the file cannot be a reward, found without running it; None if it may be one."""
        if not Path(self.path).is_file():
            return "no such file"
        try:
            tree = ast.parse(Path(self.path).read_bytes(), self.path)
        except SyntaxError as error:
            return f"not valid Python in line {error.lineno}: {error.msg}"
        except ValueError as error:
            return f"not valid Python: {error}"
        if "score" not in _names(tree):
            return "defines no function score(structures)"
        return None


def _names(tree: ast.Module) -> set[str]:
    """The names that a module defines or imports anywhere."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.alias)}
    names |= {node.asname for node in ast.walk(tree) if isinstance(node, ast.alias) and node.asname}
    return names | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


SingleReward = (
    EhullReward  # one line per reward
    | FigureOfMeritReward
    | FileReward
)
"""The settings of any reward. This union is the list; :data:`REWARDS` is made from it."""
AnyReward = Annotated[SingleReward, Field(discriminator="kind")]
REWARDS: Mapping[str, type[RewardSettings]] = {
    settings.model_fields["kind"].default: settings for settings in get_args(get_args(AnyReward)[0])
}
"""The settings class of every reward, by kind."""
