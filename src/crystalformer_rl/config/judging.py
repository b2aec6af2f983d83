"""Sections of what follows a policy: sample, relax, evaluate, report."""

from typing import Annotated

from pydantic import Field

from crystalformer_rl.config.constraints import ConstraintSettings, PromptSettings
from crystalformer_rl.config.fields import (
    PositiveFloat,
    PositiveInt,
    PotentialName,
    Section,
    Temperature,
)


class SampleSettings(PromptSettings):
    """Bulk sampling of every policy."""

    count: PositiveInt = Field(default=200, description="Crystals per policy that are judged.")
    shard_size: PositiveInt = Field(
        default=50, description="Crystals per shard; each shard is a job with a seed of its own."
    )
    temperature: Temperature = Field(default=1.0, description="Softmax temperature.")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="Nucleus of letters, elements and mixture components."
    )
    first_element_temperature: Temperature | None = Field(
        default=None,
        description="Temperature of the first site's element, above 1 for more variety; null: as "
        "the others.",
    )
    constraints: ConstraintSettings = Field(
        default_factory=ConstraintSettings, description="What every crystal obeys."
    )


class Relaxation(Section):
    """FIRE over positions and cell."""

    max_force: PositiveFloat = Field(
        default=0.1, description="Converged below this force (and cell force), eV/Å."
    )
    max_steps: int = Field(default=100, ge=0, description="Steps after which to give up.")
    keep_symmetry: bool = Field(
        default=False, description="Whether no step may lower the space group."
    )


class RelaxSettings(Relaxation):
    """Relaxation of samples: FIRE over positions and cell."""

    potential: PotentialName = Field(
        default="chgnet", description="Potential that relaxes; that of the hull."
    )


class JudgeSettings(Relaxation):
    """A second potential, with elements and a hull of its own, that no reward ever sees."""

    potential: PotentialName | None = Field(
        default="sevennet",
        description="Potential that relaxes and judges the same samples again; not that of the "
        "hull and the rewards. null: the potential that rewards also judges.",
    )
    count: PositiveInt | None = Field(
        default=50,
        description="Crystals per policy that it judges, the first so many; null: all.",
    )


class Tolerances(Section):
    """When two structures are the same; the defaults are pymatgen's."""

    length_tolerance: PositiveFloat = Field(default=0.2, description="StructureMatcher ltol.")
    site_tolerance: PositiveFloat = Field(default=0.3, description="StructureMatcher stol.")
    angle_tolerance: PositiveFloat = Field(
        default=5.0, description="StructureMatcher angle_tol, °."
    )


class StrictTolerances(Tolerances):
    """A second opinion on what is unique and new, for which distorted variants are different.

    About half of pymatgen's tolerances.
    """

    length_tolerance: PositiveFloat = Field(default=0.1, description="StructureMatcher ltol.")
    site_tolerance: PositiveFloat = Field(default=0.15, description="StructureMatcher stol.")
    angle_tolerance: PositiveFloat = Field(
        default=3.0, description="StructureMatcher angle_tol, °."
    )


class EvaluateSettings(Tolerances):
    """The verdict on every generated structure."""

    stable_below: float = Field(
        default=0.1, description="Stable: relaxed energy above hull below this, eV/atom."
    )
    strict: StrictTolerances = Field(
        default_factory=StrictTolerances, description="Tighter tolerances, judged beside these."
    )


class ReportSettings(Section):
    """The page."""

    title: str = Field(default="CrystalFormer-RL", max_length=120, description="Title of the page.")
    best: PositiveInt = Field(default=8, description="Structures drawn, best first.")
