"""The common settings of all rewards, and the list of guards."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from crystalformer_rl.config.fields import PositiveInt, PotentialName, Section


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


E_ABOVE_HULL = Component(r"mean $E_\mathrm{hull}$ in the reward", "eV/atom")
"""Of the rewards that use a hull; the report draws it for all branches together."""


class RewardSettings(Section):
    """What every reward has.

    Attributes
    ----------
    module
        Module with its ``build``; see :func:`crystalformer_rl.rewards.base.build`.
    title
        What rewards a policy, for the report; see :attr:`subject`.
    value
        The value of a crystal, and that of a failure, for docs/reference/rewards.md.
    needs
        What it reads in addition to the crystals, for the same page.
    single
        Settings under which the reward of a crystal does not depend on the rest of its batch; None
        if it always does, or cannot be computed outside a run.
    """

    module: ClassVar[str]
    title: ClassVar[str]
    value: ClassVar[str] = ""
    needs: ClassVar[str] = ""
    single: ClassVar[Mapping[str, Any] | None] = {}

    kind: str

    @property
    def subject(self) -> str:
        """The subject of the reward in words, for the report."""
        return self.title

    @property
    def components(self) -> Mapping[str, Component]:
        """What its batches are made of, by name."""
        return {}

    @property
    def column(self) -> str | None:
        """The component that is also a column of the table of structures, if it is rewarded.

        The report then compares policies by it.
        """
        return None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Its smallest and its largest possible value; None if it has none."""
        return None

    @property
    def singles(self) -> Mapping[str, "RewardSettings"]:
        """The rewards that it is made of, by where their keys are below its own: itself."""
        return {"": self}

    @property
    def potentials(self) -> tuple[str, ...]:
        """The potentials that it evaluates, each once."""
        used = (one.potential_used for one in self.singles.values())
        return tuple(dict.fromkeys(potential for potential in used if potential is not None))

    @property
    def potential_used(self) -> str | None:
        """The potential that it evaluates; None if it needs none."""
        return None

    @property
    def needs_hull(self) -> bool:
        """Whether it compares energies with the hull of its potential."""
        return False

    @property
    def runs_code(self) -> bool:
        """Whether it executes code that the configuration names, if ``jobs.trust_code`` is set."""
        return False

    @property
    def needs_dataset(self) -> bool:
        """Whether it compares crystals with those of the dataset."""
        return False

    @property
    def files(self) -> list[str]:
        """Files that it reads; an edit of one runs the branch again."""
        return []

    def problem(self) -> str | None:
        """Why its files cannot be used, or None."""
        return None


GuardName = Literal["artefact", "element", "unsupported", "density", "charge", "failures"]


@dataclass(frozen=True)
class Guard:
    """A guard: its effect, and the name of the affected fraction of a batch in the history."""

    meaning: str
    title: str


GUARDS: Mapping[GuardName, Guard] = {
    "artefact": Guard(
        "No reward for an E_hull below −0.1 eV/atom, if the hull knows a compound of the chemical "
        "system: it is an error of the potential or of the hull, not a discovery.",
        "too far below the hull",
    ),
    "element": Guard(
        "No reward for a crystal of a single element. Elements are easily stable.",
        "pure elements",
    ),
    "unsupported": Guard(
        "The reward abstains if the hull knows no compound of the chemical system: E_hull is then "
        "a formation energy, which is negative for most compounds.",
        "no known compound in the system",
    ),
    "density": Guard(
        "No reward for a mass density outside 0.01 to 25 g/cm³. Atoms closer than 0.5 Å and "
        "volumes without a crystal are failures already: potentials refuse them.",
        "density of no crystal",
    ),
    "charge": Guard(
        "No reward if the charges cannot balance (`valid_charge` of the evaluation). The rule "
        "also refuses one in ten known crystals, so it is not a default.",
        "charges cannot balance",
    ),
    "failures": Guard(
        "A failure, and what another guard struck, gets the 5 % quantile of the other values of "
        "its batch instead of the lowest possible value, so that a few do not dominate the batch. "
        "Only for rewards without a natural zero (`shape: linear`).",
        "failures",
    ),
}
"""The guards of rewards that use a hull, by name."""
DEFAULT_GUARDS: tuple[GuardName, ...] = tuple(name for name in GUARDS if name != "charge")


class HullReward(RewardSettings):
    """A reward that needs the energies of a potential and the hull they are compared with."""

    potential: PotentialName = Field(
        default="chgnet", description="Potential of the reward; must be that of the hull."
    )
    guards: tuple[GuardName, ...] | Literal["none"] = Field(
        default=DEFAULT_GUARDS,
        description="What keeps the policy from exploiting the reward "
        "(docs/reference/rewards.md); `none` for comparison.",
    )
    min_references: PositiveInt | None = Field(
        default=None,
        description="Abstain (advantage 0) if the hull has fewer distinct compositions in the "
        "chemical system, those of its subsystems and the elements included.",
    )

    @property
    def active_guards(self) -> tuple[GuardName, ...]:
        """The guards that are on."""
        return () if self.guards == "none" else self.guards

    @property
    def potential_used(self) -> str:
        """The potential of the reward."""
        return self.potential

    @property
    def needs_hull(self) -> bool:
        """True: it compares energies with the hull."""
        return True
