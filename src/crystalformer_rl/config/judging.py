"""Sections that follow the training: sample, relax, judge, evaluate, report."""

from typing import Annotated, Literal

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

    count: PositiveInt = Field(
        default=400, description="Number of crystals per policy that are evaluated."
    )
    shard_size: PositiveInt = Field(
        default=100,
        description="Crystals per shard; each shard is a separate job with its own seed.",
    )
    temperature: Temperature = Field(default=1.0, description="Softmax temperature.")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Nucleus sampling of letters, elements and mixture components; 1: off.",
    )
    first_element_temperature: Temperature | None = Field(
        default=None,
        description="Temperature of the first site's element, above 1 for more variety; null: "
        "`temperature`.",
    )
    constraints: ConstraintSettings = Field(
        default_factory=ConstraintSettings, description="Constraints on every crystal."
    )


class Relaxation(Section):
    """Relaxation of positions and cell with L-BFGS."""

    max_force: PositiveFloat = Field(
        default=0.1, description="Converged when every force and cell force is below this, eV/Å."
    )
    max_steps: int = Field(
        default=100, ge=0, description="Maximum number of steps; then the status is not_converged."
    )
    keep_symmetry: bool = Field(
        default=False, description="Keep the space group during the relaxation."
    )


class RelaxSettings(Relaxation):
    """Relaxation of the samples: positions and cell, with L-BFGS."""

    potential: PotentialName = Field(
        default="chgnet", description="Potential of the relaxation; must be that of the hull."
    )


class JudgeSettings(Relaxation):
    """A second potential that no reward sees, with its own element energies and hull."""

    # A few steps do from where the first potential ended, and its forces cost five times as much.
    max_steps: int = Field(
        default=30, ge=0, description="Maximum number of steps; then the status is not_converged."
    )
    potential: PotentialName | None = Field(
        default="sevennet",
        description="Potential that relaxes the samples too and places them on its own "
        "hull; must differ from the potential of the hull and the rewards. null: no judge.",
    )
    count: PositiveInt | None = Field(
        default=100,
        description="Number of crystals per policy that it judges (the first N); null: all.",
    )
    start: Literal["relaxed", "sample"] = Field(
        default="relaxed",
        description="Where its relaxation starts: from the crystal as `relax` left it, in a few "
        "steps, or from the `sample`. Its energy as generated is that of the sample in both cases.",
    )


class Tolerances(Section):
    """When two structures count as the same; the defaults are pymatgen's."""

    length_tolerance: PositiveFloat = Field(default=0.2, description="StructureMatcher ltol.")
    site_tolerance: PositiveFloat = Field(default=0.3, description="StructureMatcher stol.")
    angle_tolerance: PositiveFloat = Field(
        default=5.0, description="StructureMatcher angle_tol, °."
    )


class StrictTolerances(Tolerances):
    """Tighter tolerances, about half of pymatgen's, under which distorted variants differ."""

    length_tolerance: PositiveFloat = Field(default=0.1, description="StructureMatcher ltol.")
    site_tolerance: PositiveFloat = Field(default=0.15, description="StructureMatcher stol.")
    angle_tolerance: PositiveFloat = Field(
        default=3.0, description="StructureMatcher angle_tol, °."
    )


class EvaluateSettings(Tolerances):
    """Evaluation of every sampled crystal."""

    stable_below: float = Field(
        default=0.1,
        description="A crystal is stable if its relaxed energy above hull is below this, eV/atom.",
    )
    strict: StrictTolerances = Field(
        default_factory=StrictTolerances,
        description="Tighter tolerances for a second set of uniqueness and novelty flags.",
    )


class ReportSettings(Section):
    """The report."""

    title: str = Field(
        default="CrystalFormer-RL", max_length=120, description="Title of the report."
    )
    best: PositiveInt = Field(
        default=8, description="Number of structures shown in the gallery, best first."
    )
