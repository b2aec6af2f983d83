"""Sections of the model and its likelihood trainings: model, pretrain, sft."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from crystalformer_rl.config.fields import (
    FilePath,
    Fraction,
    Neutral,
    PositiveFloat,
    PositiveInt,
    Section,
)


class ModelSettings(Section):
    """Size of the transformer; config/mp20.yaml has the published size."""

    layers: PositiveInt = Field(default=4, description="Transformer blocks.")
    heads: PositiveInt = Field(default=4, description="Attention heads per block.")
    key_size: PositiveInt = Field(default=16, description="Width of one head (even).")
    width: PositiveInt = Field(default=64, description="Width of the residual stream.")
    embedding: PositiveInt = Field(default=32, description="Width of the input embeddings.")
    first_letter_hidden: PositiveInt = Field(
        default=64, description="Hidden width of the MLP that predicts the first Wyckoff letter."
    )
    widening: PositiveInt = Field(
        default=4, description="Hidden width of a block's MLP, as a multiple of `width`."
    )
    frequencies: PositiveInt = Field(default=5, description="Fourier frequencies of a coordinate.")
    coordinate_modes: PositiveInt = Field(
        default=16, description="Von Mises components of a coordinate."
    )
    lattice_modes: PositiveInt = Field(default=4, description="Gaussian components of the lattice.")
    max_sites: PositiveInt = Field(
        default=21, le=61, description="Length of the sequence in sites, including one pad."
    )
    positions: Literal["rotary", "learned"] = Field(
        default="rotary", description="Position encoding."
    )
    lattice_density: Literal["joint", "per_dimension"] = Field(
        default="joint",
        description="`joint`: one mixture over all lattice parameters, as sampled; "
        "`per_dimension`: the published scoring, for imported weights.",
    )
    coordinate_density: Literal["independent", "published"] = Field(
        default="independent",
        description="`independent`: score only the sampled coordinates, x and z of (x, x, z); "
        "`published`: also score dependent coordinates, for imported weights.",
    )
    dropout: Fraction = Field(default=0.1, description="Dropout of pretraining.")

    @model_validator(mode="after")
    def _rotary_needs_even_heads(self) -> "ModelSettings":
        if self.positions == "rotary" and self.key_size % 2:
            raise ValueError(f"key_size must be even for rotary positions, got {self.key_size}")
        return self


class OptimiserSettings(Section):
    """The common settings of pretraining and SFT."""

    epochs: PositiveInt = Field(default=80, description="Passes over the training crystals.")
    batch_size: PositiveInt = Field(default=100, description="Crystals per optimiser step.")
    learning_rate: PositiveFloat = Field(
        default=1e-3,
        description="Peak learning rate of Adam for a batch of 100; it is scaled in proportion to "
        "batch_size.",
    )
    warmup_steps: int = Field(default=0, ge=0, description="Steps of linear warm-up.")
    schedule: Annotated[Literal["constant", "cosine"], Neutral("constant")] = Field(
        default="constant",
        description="Learning rate after the warm-up: constant, or falling to 0 at the last epoch "
        "along half a cosine.",
    )
    clip_norm: PositiveFloat = Field(default=1.0, description="Largest gradient norm.")
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Decay per step of the moving average of the weights, which is validated "
        "and kept instead of the weights; null: no averaging.",
    )


class PretrainSettings(OptimiserSettings):
    """Likelihood training on the dataset."""

    epochs: PositiveInt = Field(default=1, description="Passes over the training crystals.")
    learning_rate: PositiveFloat = Field(
        default=2e-4,
        description="Peak learning rate of Adam for a batch of 100; it is scaled in proportion to "
        "batch_size. From random weights, 1e-3 is a good value.",
    )
    schedule: Literal["constant", "cosine"] = Field(
        default="cosine",
        description="Learning rate after the warm-up: constant, or falling to 0 at the last epoch "
        "along half a cosine.",
    )
    start: Annotated[FilePath | None, Neutral(None)] = Field(
        default="mp20-small",
        description="Policy whose training continues on this dataset: a folder, or the name of one "
        "in resources/pretrained. The network is then that of the policy, and of `model` only "
        "`dropout` counts. null: random weights.",
    )
    validate_every: PositiveInt = Field(default=1, description="Epochs between validations.")
    patience: PositiveInt | None = Field(
        default=20,
        description="Stop after this number of validations without a better loss, and keep the "
        "best weights; null: train all epochs and keep the last weights.",
    )


class SftSettings(OptimiserSettings):
    """Supervised fine-tuning on the base policy's own relaxed, filtered samples."""

    epochs: PositiveInt = Field(default=10, description="Passes over the kept samples.")
    learning_rate: PositiveFloat = Field(
        default=1e-4, description="Peak learning rate for a batch of 100, as in `pretrain`."
    )
    samples: PositiveInt = Field(default=400, description="Samples of the base policy to relax.")
    max_e_above_hull: float = Field(
        default=0.1, description="Keep a relaxed sample below this energy above hull, eV/atom."
    )
    symprec: PositiveFloat = Field(
        default=0.01, description="Symmetry tolerance for the relaxed samples, Å."
    )
    unique: Annotated[bool, Neutral(False)] = Field(
        default=False,
        description="Keep only the sample of lowest energy above hull of each reduced formula and "
        "space group.",
    )
    novel: Annotated[bool, Neutral(False)] = Field(
        default=False,
        description="Leave out samples with a reduced formula of the dataset, pure elements among "
        "them.",
    )
