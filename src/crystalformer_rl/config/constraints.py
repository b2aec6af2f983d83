"""What may be asked of a policy: the prompts (space groups) and the constraints on a crystal."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from crystalformer_rl.config.fields import ElementSymbol, PositiveInt, Section, SpaceGroup

LETTERS = "abcdefghijklmnopqrstuvwxyzA"


class PromptSettings(Section):
    """Which space groups are drawn, and how often."""

    space_groups: list[SpaceGroup] | None = Field(
        default=None,
        description="Draw only these space groups; null: all that can obey the constraints.",
    )
    space_group_weights: Literal["training", "uniform"] = Field(
        default="training",
        description="How often each is drawn: as often as in the training crystals, or all alike.",
    )

    @property
    def by_histogram(self) -> bool:
        """Whether groups are drawn by the training histogram, which a policy may lack."""
        return self.space_groups is None and self.space_group_weights == "training"

    @field_validator("space_groups")
    @classmethod
    def _at_least_one(cls, groups: list[int] | None) -> list[int] | None:
        if groups is not None and not groups:
            raise ValueError("give at least one space group, or null for all")
        return groups


class ConstraintSettings(Section):
    """What a crystal must obey: masks that are part of the density, renormalised."""

    elements: list[ElementSymbol] | None = Field(
        default=None, description="Allowed elements; null: all."
    )
    exclude_radioactive: bool = Field(
        default=False,
        description="Leave out the radioactive elements: Tc, Pm and all from Po on, so Th and U "
        "too. Bi stays, although the published list has it.",
    )
    exclude_noble_gases: bool = Field(
        default=False, description="Leave out He, Ne, Ar, Kr, Xe, Rn and Og."
    )
    required: list[ElementSymbol] = Field(
        default=[], description="Elements that every crystal contains."
    )
    site_elements: list[list[ElementSymbol]] | None = Field(
        default=None,
        description="Allowed elements of the first, second, … site; further sites may hold any of "
        "`elements`. Sites are in the order of their Wyckoff letters.",
    )
    wyckoff: list[str] | None = Field(
        default=None,
        description="Template: exactly these Wyckoff letters, a to z and A, in this order.",
    )
    max_atoms: PositiveInt | None = Field(
        default=None, description="Most atoms in the primitive cell."
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
                raise ValueError(f"{letter!r} is no Wyckoff letter: allowed are a to z and A")
        ranks = [LETTERS.index(letter) for letter in letters]
        if ranks != sorted(ranks):
            raise ValueError(f"letters must be in order, a to z and then A, got {letters}")
        return letters

    @model_validator(mode="after")
    def _one_way_to_require(self) -> "ConstraintSettings":
        if self.required and self.site_elements is not None:
            raise ValueError(
                "required and site_elements exclude each other: name the element at its site"
            )
        if self.wyckoff is not None and self.max_atoms is not None:
            raise ValueError("wyckoff fixes the number of atoms: leave max_atoms null")
        lists, letters = len(self.site_elements or []), len(self.wyckoff or [])
        if self.wyckoff is not None and lists > letters:
            raise ValueError(
                f"site_elements has {lists} lists, the template wyckoff {letters} sites"
            )
        return self
