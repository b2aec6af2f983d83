"""Settings of sampling: prompts (space groups) and constraints on crystals."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from crystalformer_rl.config.fields import ElementSymbol, PositiveInt, Section, SpaceGroup

LETTERS = "abcdefghijklmnopqrstuvwxyzA"


class PromptSettings(Section):
    """Which space groups are sampled, and how often."""

    space_groups: list[SpaceGroup] | None = Field(
        default=None,
        description="Sample only these space groups; null: all that can satisfy the constraints.",
    )
    space_group_weights: Literal["training", "uniform"] = Field(
        default="training",
        description="`training`: sample each space group as often as it occurs in the training "
        "set; `uniform`: equally often.",
    )

    @property
    def by_histogram(self) -> bool:
        """Whether groups are sampled from the training histogram, which a policy may lack."""
        return self.space_groups is None and self.space_group_weights == "training"

    @field_validator("space_groups")
    @classmethod
    def _at_least_one(cls, groups: list[int] | None) -> list[int] | None:
        if groups is not None and not groups:
            raise ValueError("give at least one space group, or null for all")
        return groups


class ConstraintSettings(Section):
    """Constraints on every crystal, applied as masks in the density of the policy."""

    elements: list[ElementSymbol] | None = Field(
        default=None, description="Allowed elements; null: all."
    )
    exclude_radioactive: bool = Field(
        default=False,
        description="Exclude radioactive elements: Tc, Pm, and Po and all heavier elements, which "
        "include Th and U. Unlike in the published list, Bi is allowed.",
    )
    exclude_noble_gases: bool = Field(
        default=False, description="Exclude He, Ne, Ar, Kr, Xe, Rn and Og."
    )
    required: list[ElementSymbol] = Field(
        default=[], description="Elements that every crystal must contain."
    )
    site_elements: list[list[ElementSymbol]] | None = Field(
        default=None,
        description="Allowed elements of the first, second, … site; further sites may have any of "
        "`elements`. Sites are in the order of their Wyckoff letters.",
    )
    wyckoff: list[str] | None = Field(
        default=None,
        description="Template: exactly these Wyckoff letters, a to z and A, in this order.",
    )
    max_atoms: PositiveInt | None = Field(
        default=None, description="Maximum number of atoms in the primitive cell."
    )

    @field_validator("wyckoff")
    @classmethod
    def _letters_in_order(cls, letters: list[str] | None) -> list[str] | None:
        if letters is None:
            return None
        if not letters:
            raise ValueError("give at least one letter, or null for any")
        for letter in letters:
            if len(letter) != 1 or letter not in LETTERS:
                raise ValueError(f"unknown Wyckoff letter {letter!r}: allowed are a to z and A")
        ranks = [LETTERS.index(letter) for letter in letters]
        if ranks != sorted(ranks):
            raise ValueError(f"letters must be in order, a to z and then A, got {letters}")
        return letters

    @model_validator(mode="after")
    def _one_way_to_require(self) -> "ConstraintSettings":
        if self.required and self.site_elements is not None:
            raise ValueError(
                "required and site_elements cannot be combined: name the element at its site"
            )
        if self.wyckoff is not None and self.max_atoms is not None:
            raise ValueError("wyckoff fixes the number of atoms: set max_atoms to null")
        lists, letters = len(self.site_elements or []), len(self.wyckoff or [])
        if self.wyckoff is not None and lists > letters:
            raise ValueError(
                f"site_elements has {lists} lists, but the template wyckoff has {letters} sites"
            )
        return self
