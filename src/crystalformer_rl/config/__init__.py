"""The settings of a run, one model per section: the source of config.yaml, the schema and the docs.

A section is passed to its stage as canonical JSON (:func:`canonical`), which is also what decides
whether the stage must run again. No default hides in a stage.
"""

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from crystalformer_rl.config.constraints import ConstraintSettings, PromptSettings
from crystalformer_rl.config.data import (
    ComparisonHullSettings,
    DatasetSettings,
    HullSettings,
    TokenizeSettings,
)
from crystalformer_rl.config.errors import validated
from crystalformer_rl.config.fields import (
    LONGEST_NAME,
    NAME,
    SYMBOLS,
    TEMPERATURES,
    FilePath,
    Name,
    Neutral,
    PositiveInt,
    Section,
    without_nulls,
)
from crystalformer_rl.config.file_reward import FileReward
from crystalformer_rl.config.hull_rewards import EhullReward, FigureOfMeritReward
from crystalformer_rl.config.judging import (
    EvaluateSettings,
    JudgeSettings,
    RelaxSettings,
    ReportSettings,
    SampleSettings,
)
from crystalformer_rl.config.memory import MemorySettings
from crystalformer_rl.config.property_rewards import MatglPropertyReward, PropertyReward
from crystalformer_rl.config.reward_base import HullReward, RewardSettings
from crystalformer_rl.config.rewards import (
    REWARDS,
    CombineReward,
    DiversityReward,
    ForceReward,
    NoveltyReward,
)
from crystalformer_rl.config.rl import RLSettings
from crystalformer_rl.config.training import (
    ModelSettings,
    OptimiserSettings,
    PretrainSettings,
    SftSettings,
)


class JobSettings(Section):
    """How jobs behave: nothing here changes a result or makes a job run again."""

    checkpoint_minutes: PositiveInt = Field(
        default=10, description="Minutes between checkpoints (one is also written on interruption)."
    )
    tensorboard: bool = Field(
        default=False,
        description="Also write the losses for TensorBoard, next to the log of each training "
        "(needs the package tensorboard).",
    )
    trust_pickles: bool = Field(
        default=False,
        description="Load potentials whose file is a Python pickle, such as MACE's: loading it "
        "can run any code (docs/explanation/security.md).",
    )
    trust_code: bool = Field(
        default=False,
        description="Run the Python file that a reward of the kind `file` names "
        "(docs/explanation/security.md).",
    )


class Config(Section):
    """Everything a run depends on."""

    run: Name = Field(default="default", description="Name of the run: its folder under results/.")
    seed: int = Field(
        default=0, ge=0, description="Seed of the run; every stage and shard derives its own."
    )
    base_policy: FilePath | None = Field(
        default=None,
        description="A finished policy that takes the place of pretraining: a folder (such as one "
        "made by `crystalformer-rl import-checkpoint`) or the name of one in resources/pretrained; "
        "null: pretrain.",
    )
    jobs: JobSettings = Field(default_factory=JobSettings)
    dataset: DatasetSettings = Field(default_factory=DatasetSettings)
    hull: HullSettings = Field(default_factory=HullSettings)
    comparison_hull: ComparisonHullSettings = Field(default_factory=ComparisonHullSettings)
    tokenize: TokenizeSettings = Field(default_factory=TokenizeSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    pretrain: PretrainSettings = Field(default_factory=PretrainSettings)
    sft: SftSettings = Field(default_factory=SftSettings)
    rl: dict[Name, RLSettings] = Field(
        default_factory=lambda: {
            "ehull": RLSettings(
                steps=75,
                learning_rate=3e-4,
                memory=MemorySettings(window=2000, known=0.3),
            ),
            "fom": RLSettings(
                reward=FigureOfMeritReward(),
                steps=75,
                tau=0.02,
                advantage_clip=10.0,
                learning_rate=2e-4,
                memory=MemorySettings(full=6, none=12, window=2000),
            ),
        },
        description="One branch per name; its last policy is called rl-NAME. In an overlay, null "
        "removes a branch.",
    )
    external: Annotated[dict[Name, FilePath], Neutral({})] = Field(
        default={},
        description="Crystals of other generators, which are relaxed and evaluated as those of a "
        "policy of this name: a file or folder for each name (extxyz, parquet, csv, or a folder or "
        "zip of CIFs). The first `sample.count` of each are read. In an overlay, null removes one.",
    )
    sample: SampleSettings = Field(default_factory=SampleSettings)
    relax: RelaxSettings = Field(default_factory=RelaxSettings)
    judge: JudgeSettings = Field(default_factory=JudgeSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    report: ReportSettings = Field(default_factory=ReportSettings)

    @property
    def rewarded(self) -> dict[str, RLSettings]:
        """The branches that a reward trains: all but those of iterated SFT."""
        return {name: one for name, one in self.rl.items() if one.algorithm != "sft"}

    @property
    def by_histogram(self) -> list[str]:
        """The sections that sample space groups by the training histogram of a policy.

        The policies that are trained from it have its histogram too, and ``sft`` trains on crystals
        that are sampled as ``sample`` says.
        """
        branches = {f"rl.{name}": one for name, one in self.rewarded.items()}
        sections: dict[str, PromptSettings] = {"sample": self.sample, **branches}
        return [name for name, section in sections.items() if section.by_histogram]

    @field_validator("rl", "external", mode="before")
    @classmethod
    def _null_removes(cls, value: Any) -> Any:
        return without_nulls(value)

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        size = self.sample.shard_size
        counts = {"sample.count": self.sample.count, "sft.samples": self.sft.samples} | {
            f"rl.{name}.sft.samples": branch.sft.samples
            for name, branch in self.rl.items()
            if branch.sft is not None
        }
        for path, count in counts.items():
            if count % size:
                raise ValueError(
                    f"{path} = {count} must be a multiple of sample.shard_size = {size}, so that "
                    "a larger run adds shards and changes none"
                )
        for name, branch in self.rl.items():
            rounds = range(1, branch.rounds) if branch.algorithm == "sft" else ()
            if clash := {f"{name}-round-{number}" for number in rounds} & self.rl.keys():
                raise ValueError(
                    f"rl.{clash.pop()} has the name of a policy between the rounds of rl.{name}: "
                    "choose another name"
                )
        for name in self.external:
            if name in ("base", "sft") or name.startswith("rl-"):
                raise ValueError(
                    f"external.{name}: base, sft and what begins with rl- are names of policies "
                    "that are trained: choose another"
                )
        on_hull = {"relax.potential": self.relax.potential} | {
            f"rl.{name}.reward{below}.potential": part.potential_used
            for name, branch in self.rewarded.items()
            for below, part in branch.reward.singles.items()
            if part.needs_hull
        }
        for path, potential in on_hull.items():
            if potential != self.hull.potential:
                raise ValueError(
                    f"{path} = {potential} must be hull.potential = {self.hull.potential}: "
                    "energies of two potentials do not mix"
                )
        for name, branch in self.rewarded.items():
            if branch.reward.runs_code and not self.jobs.trust_code:
                raise ValueError(
                    f"rl.{name}.reward = {', '.join(branch.reward.files)} is Python code that the "
                    "run would execute: if you trust it, set `trust_code: true` under `jobs:` in "
                    "config.yaml"
                )
        if self.judge.potential == self.hull.potential:
            raise ValueError(
                f"judge.potential = {self.judge.potential} is hull.potential, which the rewards "
                "saw: name another, or null"
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
    return validated(Config, raw)


def canonical(section: BaseModel, *, without: Collection[str] = ()) -> str:
    """The section as JSON with sorted keys: the same text for the same settings.

    Defaults are written out, so that a changed default is another text; a key that is marked
    :class:`Neutral` is left out while it makes no difference. ``without`` leaves out keys that
    decide how many jobs there are and not what each of them does.
    """
    settings = section.model_dump(mode="json", exclude=set(without))
    return json.dumps(_without_neutral(section, settings), sort_keys=True)


def _without_neutral(value: Any, dumped: Any) -> Any:
    """``dumped``, the JSON of ``value``, without the keys that have their neutral value."""
    match value:
        case BaseModel():
            return {
                key: _without_neutral(getattr(value, key), part)
                for key, part in dumped.items()
                if not _is_neutral(type(value).model_fields[key], getattr(value, key))
            }
        case Mapping():
            return {key: _without_neutral(value[key], part) for key, part in dumped.items()}
        case _:
            return dumped


def _is_neutral(field: FieldInfo, value: Any) -> bool:
    """Whether a missing key is read as ``value``, so that it can be left out."""
    default = field.get_default(call_default_factory=True)
    return any(
        isinstance(mark, Neutral) and value == default == mark.value for mark in field.metadata
    )


__all__ = [
    "LONGEST_NAME",
    "NAME",
    "REWARDS",
    "SYMBOLS",
    "TEMPERATURES",
    "CombineReward",
    "ComparisonHullSettings",
    "Config",
    "ConstraintSettings",
    "DatasetSettings",
    "DiversityReward",
    "EhullReward",
    "EvaluateSettings",
    "FigureOfMeritReward",
    "FileReward",
    "ForceReward",
    "HullReward",
    "HullSettings",
    "JobSettings",
    "JudgeSettings",
    "MatglPropertyReward",
    "ModelSettings",
    "NoveltyReward",
    "OptimiserSettings",
    "PretrainSettings",
    "PromptSettings",
    "PropertyReward",
    "RLSettings",
    "RelaxSettings",
    "ReportSettings",
    "RewardSettings",
    "SampleSettings",
    "SftSettings",
    "TokenizeSettings",
    "canonical",
    "read",
]
