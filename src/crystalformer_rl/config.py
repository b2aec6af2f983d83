"""The settings of a run, one model per section: the source of config.yaml, the schema and the docs.

A section is passed to its stage as canonical JSON (:func:`canonical`), which is also what decides
whether the stage must run again. No default hides in a stage.
"""

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crystalformer_rl.explain import explain

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
PotentialName = Literal["chgnet"]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetSettings(Section):
    """Where the crystals come from, and which are kept."""

    sources: dict[Literal["train", "val", "test", "all"], str] = Field(
        default={"all": "resources/embedded/crystals.parquet"},
        description="File or folder per split (csv, csv.gz, csv.xz, parquet, extxyz or a folder of "
        "CIFs); `all` is one source whose `split` column names the split of each row, or which is "
        "split 80/10/10 by a hash of the row's id. In an overlay, null takes a source away.",
    )
    max_atoms: PositiveInt = Field(
        default=20, description="Reject crystals with more atoms in the primitive cell."
    )
    limit: PositiveInt | None = Field(
        default=None, description="Keep only the first so many rows of each split (for a trial)."
    )

    @field_validator("sources", mode="before")
    @classmethod
    def _null_removes(cls, value: Any) -> Any:
        return _without_nulls(value)

    @model_validator(mode="after")
    def _one_or_every_split(self) -> "DatasetSettings":
        if set(self.sources) not in ({"all"}, {"train", "val", "test"}):
            raise ValueError(
                f"sources has {', '.join(self.sources) or 'none'}: give either `all` alone or each "
                "of train, val and test (null takes one away)"
            )
        return self


class HullSettings(Section):
    """The convex hull that energies are measured from."""

    reference: Literal["dataset", "csv"] = Field(
        default="dataset",
        description="`dataset`: the potential's energies of the dataset's structures and of the "
        "elements, consistent with the rewards; `csv`: formation energies from `csv_path`.",
    )
    csv_path: str | None = Field(
        default=None,
        description="CSV with columns formula, formation_energy_per_atom (eV/atom, elements at 0).",
    )
    potential: PotentialName = Field(
        default="chgnet", description="Potential whose energies are placed on this hull."
    )

    @model_validator(mode="after")
    def _csv_needs_a_path(self) -> "HullSettings":
        if (self.reference == "csv") != (self.csv_path is not None):
            raise ValueError("csv_path must be given exactly when reference is 'csv'")
        return self


class TokenizeSettings(Section):
    """How a structure becomes tokens."""

    symprec: PositiveFloat = Field(default=0.01, description="Symmetry tolerance, Å.")
    max_sites: PositiveInt = Field(
        default=20, le=60, description="Reject crystals with more symmetry-inequivalent sites."
    )


class ModelSettings(Section):
    """Size of the transformer; config/mp20.yaml has the published one."""

    layers: PositiveInt = Field(default=4, description="Transformer blocks.")
    heads: PositiveInt = Field(default=4, description="Attention heads per block.")
    key_size: PositiveInt = Field(default=16, description="Width of one head (even).")
    width: PositiveInt = Field(default=64, description="Width of the residual stream.")
    embedding: PositiveInt = Field(default=32, description="Width of the input embeddings.")
    first_letter_hidden: PositiveInt = Field(
        default=64, description="Hidden width of the MLP that draws the first Wyckoff letter."
    )
    widening: PositiveInt = Field(
        default=4, description="Hidden width of a block's MLP over width."
    )
    frequencies: PositiveInt = Field(default=5, description="Fourier frequencies of a coordinate.")
    coordinate_modes: PositiveInt = Field(
        default=16, description="Von Mises components of a coordinate."
    )
    lattice_modes: PositiveInt = Field(default=4, description="Gaussian components of the lattice.")
    max_sites: PositiveInt = Field(
        default=21, le=61, description="Sites of the sequence, the last one a pad."
    )
    positions: Literal["rotary", "learned"] = Field(
        default="rotary", description="Position encoding."
    )
    lattice_density: Literal["joint", "per_dimension"] = Field(
        default="joint",
        description="`joint`: one mixture over all lattice numbers, what is sampled; "
        "`per_dimension`: the published scoring, for imported weights.",
    )
    coordinate_density: Literal["independent", "published"] = Field(
        default="independent",
        description="`independent`: score the coordinates that are sampled, x alone of (x, x, z); "
        "`published`: also those that follow from them, for imported weights.",
    )
    dropout: Fraction = Field(default=0.2, description="Dropout of pretraining.")

    @model_validator(mode="after")
    def _rotary_needs_even_heads(self) -> "ModelSettings":
        if self.positions == "rotary" and self.key_size % 2:
            raise ValueError(f"key_size must be even for rotary positions, got {self.key_size}")
        return self


class OptimiserSettings(Section):
    """What pretraining and SFT share."""

    epochs: PositiveInt = Field(default=80, description="Passes over the training crystals.")
    batch_size: PositiveInt = Field(default=100, description="Crystals per optimiser step.")
    learning_rate: PositiveFloat = Field(default=1e-3, description="Peak learning rate of Adam.")
    warmup_steps: int = Field(default=0, ge=0, description="Steps of linear warm-up.")
    clip_norm: PositiveFloat = Field(default=1.0, description="Largest gradient norm.")
    checkpoint_minutes: PositiveFloat = Field(
        default=10, description="Minutes between checkpoints (also one when interrupted)."
    )


class PretrainSettings(OptimiserSettings):
    """Likelihood training on the dataset."""

    patience: PositiveInt | None = Field(
        default=20, description="Stop after so many epochs without a better validation loss."
    )


class SftSettings(OptimiserSettings):
    """Supervised fine-tuning on the base policy's own relaxed, filtered samples."""

    epochs: PositiveInt = Field(default=10, description="Passes over the kept samples.")
    learning_rate: PositiveFloat = Field(default=1e-4, description="Peak learning rate of Adam.")
    samples: PositiveInt = Field(default=200, description="Samples of the base policy to relax.")
    max_e_above_hull: float = Field(
        default=0.1, description="Keep a relaxed sample below this energy above hull, eV/atom."
    )
    symprec: PositiveFloat = Field(
        default=0.01, description="Symmetry tolerance for the relaxed samples, Å."
    )


class EhullReward(Section):
    """Minus the energy above hull of the unrelaxed crystal, eV/atom."""

    kind: Literal["ehull"] = "ehull"
    potential: PotentialName = Field(default="chgnet", description="Potential of the reward.")
    floor: float = Field(
        default=-0.1,
        description="E_hull below this is counted as this, eV/atom: deeper is an artefact.",
    )
    ceiling: float = Field(
        default=6.0, description="E_hull above this, and every failure, counts as this, eV/atom."
    )
    repeat_from: PositiveInt | None = Field(
        default=3,
        description="So many crystals of one composition in a batch count in full; further ones "
        "count linearly less, from twice as many on not at all, and all share the loss alike. "
        "Null: no discount.",
    )
    min_references: PositiveInt | None = Field(
        default=None,
        description="Abstain (advantage 0) where the hull knows fewer distinct compositions of the "
        "chemical system, its subsystems and elements included; null: only pure elements abstain.",
    )

    @model_validator(mode="after")
    def _floor_below_ceiling(self) -> "EhullReward":
        if self.floor >= self.ceiling:
            raise ValueError(f"floor {self.floor} must be below ceiling {self.ceiling}")
        return self


class FigureOfMeritReward(Section):
    """Band gap (eV) × electronic dielectric constant, from heads on CHGNet features."""

    kind: Literal["figure_of_merit"] = "figure_of_merit"
    potential: PotentialName = Field(
        default="chgnet", description="Potential of the stability guard."
    )
    caution: float = Field(
        default=0.5,
        ge=0,
        description="Ensemble standard deviations subtracted from each predicted property.",
    )
    max_e_above_hull: float | None = Field(
        default=1.0,
        description="Above this energy above hull (unrelaxed, eV/atom) a crystal scores 0; "
        "null: off.",
    )
    repeat_from: PositiveInt | None = Field(
        default=3, description="As for the E_hull reward, discounted to 0."
    )
    min_references: PositiveInt | None = Field(
        default=None, description="As for the E_hull reward."
    )


class RLSettings(Section):
    """Proximal policy optimisation towards one reward (FACTS §4)."""

    reward: Annotated[EhullReward | FigureOfMeritReward, Field(discriminator="kind")] = Field(
        default_factory=EhullReward, description="What is rewarded."
    )
    weight: PositiveFloat = Field(
        default=1.0, description="Factor on the reward, against the KL term."
    )
    start: Literal["base", "sft"] = Field(
        default="base", description="Policy that round 1 starts from."
    )
    rounds: int = Field(default=2, ge=1, le=50, description="Rounds; each is a job.")
    steps: PositiveInt = Field(default=80, description="PPO steps (batches) per round.")
    batch_size: PositiveInt = Field(default=100, description="Crystals per PPO step.")
    ppo_epochs: PositiveInt = Field(default=5, description="Gradient steps per batch.")
    clip: PositiveFloat = Field(default=0.2, description="Clip range of the probability ratio.")
    tau: float = Field(default=0.1, ge=0, description="Weight of the KL divergence to the base.")
    learning_rate: PositiveFloat = Field(default=1e-4, description="Learning rate of Adam.")
    clip_norm: PositiveFloat = Field(default=1.0, description="Largest gradient norm.")
    baseline_decay: Fraction = Field(
        default=0.95, description="Memory of the running mean reward that is the baseline."
    )
    space_groups: list[Annotated[int, Field(ge=1, le=230)]] | None = Field(
        default=None, description="Draw only these space groups; null: the training histogram."
    )
    checkpoint_minutes: PositiveFloat = Field(
        default=10, description="Minutes between checkpoints."
    )


class SampleSettings(Section):
    """Bulk sampling of every policy."""

    count: PositiveInt = Field(default=200, description="Crystals per policy that are judged.")
    shard_size: PositiveInt = Field(
        default=50, description="Crystals per shard; each shard is a job with a seed of its own."
    )
    temperature: PositiveFloat = Field(default=1.0, description="Softmax temperature.")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="Nucleus of letters, elements and mixture components."
    )
    space_groups: list[Annotated[int, Field(ge=1, le=230)]] | None = Field(
        default=None, description="Draw only these space groups; null: the training histogram."
    )


class RelaxSettings(Section):
    """Relaxation of samples: FIRE over positions and cell."""

    potential: PotentialName = Field(default="chgnet", description="Potential that relaxes.")
    max_force: PositiveFloat = Field(
        default=0.1, description="Converged below this force (and cell force), eV/Å."
    )
    max_steps: int = Field(default=100, ge=0, description="Steps after which to give up.")


class EvaluateSettings(Section):
    """The verdict on every generated structure."""

    stable_below: float = Field(
        default=0.1, description="Stable: relaxed energy above hull below this, eV/atom."
    )
    length_tolerance: PositiveFloat = Field(default=0.2, description="StructureMatcher ltol.")
    site_tolerance: PositiveFloat = Field(default=0.3, description="StructureMatcher stol.")
    angle_tolerance: PositiveFloat = Field(
        default=5.0, description="StructureMatcher angle_tol, °."
    )


class ReportSettings(Section):
    """The page."""

    title: str = Field(default="CrystalFormer-RL", max_length=120, description="Title of the page.")
    best: PositiveInt = Field(default=8, description="Structures drawn, best first.")


class Config(Section):
    """Everything a run depends on."""

    run: Name = Field(default="default", description="Name of the run: its folder under results/.")
    seed: int = Field(
        default=0, ge=0, description="Seed of the run; every stage and shard derives its own."
    )
    dataset: DatasetSettings = Field(default_factory=DatasetSettings)
    hull: HullSettings = Field(default_factory=HullSettings)
    tokenize: TokenizeSettings = Field(default_factory=TokenizeSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    pretrain: PretrainSettings = Field(default_factory=PretrainSettings)
    sft: SftSettings = Field(default_factory=SftSettings)
    rl: dict[Name, RLSettings] = Field(
        default_factory=lambda: {
            "ehull": RLSettings(learning_rate=3e-4),
            "fom": RLSettings(reward=FigureOfMeritReward(), tau=1.0),
        },
        description="One branch per name; its last policy is called rl-NAME. In an overlay, null "
        "takes a branch away.",
    )
    sample: SampleSettings = Field(default_factory=SampleSettings)
    relax: RelaxSettings = Field(default_factory=RelaxSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    report: ReportSettings = Field(default_factory=ReportSettings)

    @field_validator("rl", mode="before")
    @classmethod
    def _null_removes(cls, value: Any) -> Any:
        return _without_nulls(value)

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        size = self.sample.shard_size
        for path, count in (("sample.count", self.sample.count), ("sft.samples", self.sft.samples)):
            if count % size:
                raise ValueError(
                    f"{path} = {count} must be a multiple of sample.shard_size = {size}, so that "
                    "a larger run adds shards and changes none"
                )
        if self.tokenize.max_sites >= self.model.max_sites:
            raise ValueError(
                f"model.max_sites = {self.model.max_sites} must exceed tokenize.max_sites = "
                f"{self.tokenize.max_sites}: the lattice is read at the pad site"
            )
        return self


def read(raw: Mapping[str, Any]) -> Config:
    """The validated configuration of a run.

    Raises
    ------
    ValueError
        If a key is unknown or a value not allowed: one line per mistake, with the path of the key,
        the value and what is allowed.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ValueError(explain(error, Config)) from error


def canonical(section: BaseModel, *, without: Collection[str] = ()) -> str:
    """The section as JSON with sorted keys: the same text for the same settings.

    ``without`` leaves out keys that decide how many jobs there are and not what each of them does.
    """
    return json.dumps(section.model_dump(mode="json", exclude=set(without)), sort_keys=True)


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: part for key, part in value.items() if part is not None}
