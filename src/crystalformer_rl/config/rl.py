"""Settings of a branch of reinforcement."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, ModelWrapValidatorHandler, model_validator

from crystalformer_rl.config.algorithms import SECTIONS, DpoSettings, IteratedSftSettings
from crystalformer_rl.config.constraints import ConstraintSettings, PromptSettings
from crystalformer_rl.config.fields import NULL, Fraction, Neutral, PositiveFloat, PositiveInt
from crystalformer_rl.config.hull_rewards import EhullReward
from crystalformer_rl.config.memory import EliteSettings, MemorySettings
from crystalformer_rl.config.presets import DEFAULT, PRESETS, PresetName, filled
from crystalformer_rl.config.rewards import AnyReward

_ROBUST: Final = PRESETS[DEFAULT]


class RLSettings(PromptSettings):
    """Fine-tuning towards one reward."""

    preset: PresetName = Field(
        default=DEFAULT,
        exclude=True,
        description="Set of defaults: `paper` is exactly that of arXiv 2504.02367, `robust` the "
        "tested recipe of this project. Each key below overrides it.",
    )
    algorithm: Literal["ppo", "dpo", "sft"] = Field(
        default="ppo",
        description="`ppo`: proximal policy optimisation on whole crystals; `dpo`: direct "
        "preference optimisation on pairs of each batch; `sft`: supervised fine-tuning on relaxed "
        "samples of low energy, which uses only `start`, `rounds` and `sft`.",
    )
    dpo: Annotated[DpoSettings | None, Neutral(None)] = Field(
        default=None, description="Pairs and loss of `algorithm: dpo`; null for the others."
    )
    sft: Annotated[IteratedSftSettings | None, Neutral(None)] = Field(
        default=None,
        description="Samples and training of `algorithm: sft`; null for the others.",
    )
    reward: AnyReward = Field(default_factory=EhullReward, description="The reward.")
    weight: PositiveFloat = Field(
        default=1.0, description="Factor on the reward, relative to the KL penalty."
    )
    start: Literal["base", "sft"] = Field(
        default="base", description="Policy from which round 1 starts."
    )
    rounds: int = Field(default=2, ge=1, le=50, description="Rounds; each is a job.")
    steps: PositiveInt = Field(default=50, description="Steps (batches) per round.")
    batch_size: PositiveInt = Field(default=200, description="Crystals per step.")
    baseline: Literal["running", "leave_one_out", "space_group"] = Field(
        default=_ROBUST["baseline"],
        description="What the reward is compared with. `running`: a running mean over the steps; "
        "`leave_one_out`: the mean of the other crystals of the batch; `space_group`: a running "
        "mean for each space group, shrunk to the mean of the batch.",
    )
    baseline_decay: Fraction = Field(
        default=_ROBUST["baseline_decay"], description="Decay per step of the running means."
    )
    baseline_prior: PositiveFloat = Field(
        default=5.0,
        description="`space_group` only: number of crystals for which the mean of the batch counts "
        "in the baseline of a space group.",
    )
    advantage: Literal["raw", "standardised"] = Field(
        default=_ROBUST["advantage"],
        description="`raw`: reward minus baseline; `standardised`: this divided by its spread in "
        "the batch, so that the unit of the reward does not matter.",
    )
    advantage_clip: PositiveFloat | None = Field(
        default=_ROBUST["advantage_clip"],
        description="Limit on the size of the advantage before the KL penalty; null: no limit.",
    )
    tau: float = Field(
        default=_ROBUST["tau"],
        ge=0,
        description="Weight τ of the KL penalty to the base policy, in units of the advantage per "
        "nat: of the reward if it is `raw`, of its spread if it is `standardised`.",
    )
    target_kl: PositiveFloat | None = Field(
        default=None,
        description="KL divergence to the base policy, nats per crystal, to which τ is steered "
        "from `tau` on; null: τ is constant.",
    )
    entropy: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the entropy of letters and elements, in units of the advantage per "
        "nat: rewards variety.",
    )
    ppo_epochs: PositiveInt = Field(
        default=_ROBUST["ppo_epochs"], description="Gradient steps per batch."
    )
    clip: PositiveFloat = Field(default=0.2, description="Clip range of the probability ratio.")
    max_kl_step: PositiveFloat | None = Field(
        default=_ROBUST["max_kl_step"],
        description="No more gradient steps on a batch once the policy has moved further than this "
        "from the one that sampled it, KL divergence in nats per crystal; the last step is "
        "shortened to end there. null: no limit.",
    )
    learning_rate: PositiveFloat = Field(default=1e-4, description="Learning rate of Adam.")
    warmup_steps: int = Field(
        default=_ROBUST["warmup_steps"],
        ge=0,
        description="Steps of linear warm-up at the start of each round, which begins with a new "
        "Adam.",
    )
    learning_rate_schedule: Literal["constant", "linear", "cosine"] = Field(
        default="constant",
        description="How the learning rate falls to 0 over the steps of each round.",
    )
    clip_norm: PositiveFloat = Field(default=1.0, description="Largest gradient norm.")
    memory: MemorySettings = Field(
        default_factory=MemorySettings, description="Discount of repeats."
    )
    elites: EliteSettings = Field(
        default_factory=EliteSettings, description="Replay of the best crystals."
    )
    constraints: ConstraintSettings = Field(
        default_factory=lambda: ConstraintSettings(**_ROBUST["constraints"]),
        description="Constraints on every crystal.",
    )

    @property
    def needs_dataset(self) -> bool:
        """Whether its reward or its memory compares crystals with those of the dataset."""
        return self.reward.needs_dataset or self.memory.known < 1

    @model_validator(mode="after")
    def _elites_need_a_memory(self) -> "RLSettings":
        if self.elites.weight and self.memory.by is None:
            raise ValueError(
                "elites need a memory, without which the policy narrows to them: set memory.by, or "
                "elites.weight to 0"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _section_of_the_algorithm(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or (name := value.get("algorithm")) not in SECTIONS:
            return value
        return {**value, name: {} if value.get(name) in (None, NULL) else value[name]}

    @model_validator(mode="after")
    def _no_other_section(self) -> "RLSettings":
        for name in SECTIONS:
            if name != self.algorithm and getattr(self, name) is not None:
                raise ValueError(f"{name} is for algorithm: {name}, but this is {self.algorithm}")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _fill(cls, value: Any, handler: ModelWrapValidatorHandler["RLSettings"]) -> "RLSettings":
        """Add the values of the preset; what it adds does not count as set by the user."""
        if not isinstance(value, Mapping):
            return handler(value)
        given = _plain(value)
        preset = PRESETS.get(str(given.get("preset", DEFAULT)), {})
        made = handler(filled({"reward": {"kind": "ehull"}} | given, preset))
        _keep_set(made, given)
        return made


def _plain(value: Any) -> Any:
    """Sections as mappings of what was set in them."""
    if isinstance(value, BaseModel):
        names = value.model_fields_set | ({"kind"} & type(value).model_fields.keys())
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _keep_set(made: Any, given: Any) -> None:
    """Leave only the keys of ``given`` in the set fields of the sections of ``made``."""
    if isinstance(made, BaseModel):
        known = given if isinstance(given, Mapping) else {}
        made.model_fields_set.intersection_update(known)
        for name in type(made).model_fields:
            _keep_set(getattr(made, name), known.get(name))
    elif isinstance(made, Mapping) and isinstance(given, Mapping):
        for name in made.keys() & given.keys():
            _keep_set(made[name], given[name])
    elif isinstance(made, list) and isinstance(given, list):
        for part, known_part in zip(made, given, strict=True):
            _keep_set(part, known_part)
