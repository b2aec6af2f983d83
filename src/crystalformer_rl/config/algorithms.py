"""Settings of algorithms of reinforcement that have their own section."""

from typing import Annotated, Literal

from pydantic import Field

from crystalformer_rl.config.fields import PositiveFloat, PositiveInt, Section
from crystalformer_rl.config.training import SftSettings

SECTIONS = ("dpo", "sft")
"""Those algorithms; the section of a branch has the same name."""


class DpoSettings(Section):
    """Direct preference optimisation (DPO): pairs of one batch, the better against the worse."""

    variant: Literal["sigmoid", "ipo"] = Field(
        default="sigmoid",
        description="Loss of a pair whose gain over the base policy is h, in nats: `sigmoid` "
        "−ln σ(βh), DPO; `ipo` (h − 1/2β)², which does not push h beyond 1/2β.",
    )
    beta: PositiveFloat = Field(
        default=0.1, description="β: the larger, the closer the policy stays to the base."
    )
    label_smoothing: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.0, description="Probability that a pair is the wrong way round."
    )
    sft_weight: float = Field(
        default=0.1,
        ge=0,
        description="Weight of −ln p of the better crystal, a term of likelihood training, without "
        "which both crystals of a pair may lose probability.",
    )
    margin: float = Field(
        default=0.1,
        ge=0,
        description="Rewards of a pair differ by more than this, in units of the reward.",
    )
    epochs: PositiveInt = Field(default=4, description="Gradient steps per batch.")


class IteratedSftSettings(SftSettings):
    """Supervised fine-tuning in rounds, each on samples of the policy of the round before."""

    samples: PositiveInt = Field(
        default=200,
        description="Samples that each round relaxes: of the policy of the round before, in round "
        "1 of `start`.",
    )
    weights: Literal["previous", "start"] = Field(
        default="previous",
        description="Weights that a round fine-tunes: of the round before, or of `start` again.",
    )
