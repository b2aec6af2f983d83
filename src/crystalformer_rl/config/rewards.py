"""The list of rewards: their settings, and what the workflow and the report need to know of each.

Adding one takes a module in ``rewards/`` with a function ``build``; a settings
class here that is named in :data:`AnyReward`; and a test. Whatever names rewards reads
this list.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from crystalformer_rl.config.fields import FilePath, PositiveInt, PotentialName, Section


@dataclass(frozen=True)
class Component:
    """A number of each crystal that a reward records.

    The history holds its mean over the valid crystals of a batch, in the column ``NAME_mean``;
    ``title`` and ``unit`` are those of that column.
    """

    title: str
    unit: str = ""

    @property
    def label(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


class RewardSettings(Section):
    """What every reward has.

    Attributes
    ----------
    module
        Module with its ``build``; see :func:`crystalformer_rl.rewards.base.build`.
    title
        What rewards a policy, for the report.
    components
        What its batches are made of, by name.
    column
        The component that is also a column of the table of structures, if it measures what is
        rewarded; the report then compares policies by it.
    single
        Settings under which the reward of a crystal does not depend on the rest of its batch.
    runs_code
        Whether it executes code that the configuration names, for which ``jobs.trust_code`` must
        be set.
    """

    module: ClassVar[str]
    title: ClassVar[str]
    components: ClassVar[Mapping[str, Component]] = {}
    column: ClassVar[str | None] = None
    single: ClassVar[Mapping[str, Any]] = {}
    runs_code: ClassVar[bool] = False

    kind: str

    @property
    def hull_potential(self) -> str | None:
        """The potential whose energies and hull it needs; None if it needs neither."""
        return None

    @property
    def files(self) -> list[str]:
        """Files that it reads; an edit of one runs the branch again."""
        return []

    def problem(self) -> str | None:
        """Why its files cannot be used, or None."""
        return None


class HullReward(RewardSettings):
    """A reward that needs the energies of a potential and the hull they are compared with."""

    potential: PotentialName = Field(
        default="chgnet", description="Potential of the reward; must be that of the hull."
    )

    @property
    def hull_potential(self) -> str:
        """The potential of the reward."""
        return self.potential


_E_ABOVE_HULL = Component(r"mean unrelaxed $E_\mathrm{hull}$", "eV/atom")
_REFERENCES = Component("mean number of known compositions")
_REPEAT_WEIGHT = Component("mean weight of repeats")


class EhullReward(HullReward):
    """Minus the energy above hull of the unrelaxed crystal, eV/atom."""

    module = "crystalformer_rl.rewards.ehull"
    title = "minus the energy above hull of the unrelaxed crystal, by single points"
    components: ClassVar = {
        "e_above_hull": _E_ABOVE_HULL,
        "references": _REFERENCES,
        "repeat_weight": _REPEAT_WEIGHT,
    }
    single: ClassVar = {"repeat_from": None}

    kind: Literal["ehull"] = "ehull"
    floor: float = Field(
        default=-0.1,
        description="A lower E_hull counts as this value, eV/atom; energies far below the hull are "
        "artefacts of the potential.",
    )
    ceiling: float = Field(
        default=6.0,
        description="A higher E_hull, and every failure, counts as this value, eV/atom.",
    )
    repeat_from: PositiveInt | None = Field(
        default=3,
        description="Number of crystals of one composition in a batch that are rewarded in full; "
        "from there the weight falls linearly to 0 at twice that number. All crystals of the "
        "composition share the mean weight. Null: no discount.",
    )
    min_references: PositiveInt | None = Field(
        default=None,
        description="Abstain (advantage 0) if the hull has fewer distinct compositions in the "
        "chemical system, those of its subsystems and the elements included. Pure elements, and "
        "systems without a known compound, always abstain.",
    )

    @model_validator(mode="after")
    def _floor_below_ceiling(self) -> "EhullReward":
        if self.floor >= self.ceiling:
            raise ValueError(f"floor {self.floor} must be below ceiling {self.ceiling}")
        return self


class FigureOfMeritReward(HullReward):
    """Band gap (eV) × electronic dielectric constant, predicted from CHGNet features."""

    module = "crystalformer_rl.rewards.figure_of_merit"
    title = "predicted band gap × dielectric constant, with a stability guard"
    components: ClassVar = {
        "figure_of_merit": Component("mean figure of merit", "eV"),
        "band_gap": Component("mean band gap", "eV"),
        "band_gap_std": Component("mean std of the band gap", "eV"),
        "dielectric": Component("mean dielectric constant"),
        "dielectric_std": Component("mean std of the dielectric constant"),
        "e_above_hull": _E_ABOVE_HULL,
        "guarded": Component("fraction stopped by the guard"),
        "references": _REFERENCES,
        "repeat_weight": _REPEAT_WEIGHT,
    }
    column = "figure_of_merit"
    single: ClassVar = {"repeat_from": None}

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
        default=1.0,
        description="A crystal with a higher energy above hull (unrelaxed, eV/atom) scores 0; "
        "null: no limit.",
    )
    repeat_from: PositiveInt | None = Field(
        default=3, description="As for the E_hull reward; the discount is towards 0."
    )
    min_references: PositiveInt | None = Field(
        default=None, description="As for the E_hull reward."
    )


class FileReward(RewardSettings):
    """The score of a Python file of your own."""

    module = "crystalformer_rl.rewards.file"
    title = "the scores of a Python file of the user"
    components: ClassVar = {"score": Component("mean score of decoded crystals")}
    runs_code = True

    kind: Literal["file"] = "file"
    path: FilePath = Field(
        description="Python file with a function `score(structures)` that returns one number for "
        "each crystal, larger is better. The run executes it, so `jobs.trust_code` must be set.",
    )

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


AnyReward = Annotated[
    EhullReward  # one line per reward
    | FigureOfMeritReward
    | FileReward,
    Field(discriminator="kind"),
]
"""The settings of any reward. This union is the list; :data:`REWARDS` is made from it."""
REWARDS: Mapping[str, type[RewardSettings]] = {
    settings.model_fields["kind"].default: settings for settings in get_args(get_args(AnyReward)[0])
}
"""The settings class of every reward, by kind."""
