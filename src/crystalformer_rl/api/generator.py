"""A policy from which crystals are sampled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crystalformer_rl.api.crystals import Crystals
from crystalformer_rl.config import SampleSettings
from crystalformer_rl.config.errors import validated
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.model.folder import policy_folder
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.stages.sample import draw


class Generator:
    """A policy, p(crystal | space group), and the name that its crystals have.

    Parameters
    ----------
    policy
        The network with its tables.
    name
        First part of the ids of its crystals.
    """

    def __init__(self, policy: Policy, name: str) -> None:
        self.policy = policy
        self.name = name

    def __repr__(self) -> str:
        return f"<Generator {self.name}: {self.policy.num_parameters:,} parameters>"

    def sample(
        self,
        n: int = 100,
        *,
        space_group: int | Sequence[int] | None = None,
        seed: int = 0,
        uniform: bool = False,
        temperature: float = 1.0,
        top_p: float = 1.0,
        first_element_temperature: float | None = None,
        **constraints: Any,
    ) -> Crystals:
        """Sample ``n`` crystals; the same arguments give the same crystals.

        They are those of ``crystalformer-rl sample`` with the same options.

        Parameters
        ----------
        space_group
            Number of a space group, or several; None for all.
        uniform
            Whether all these groups are equally frequent, instead of as in the training set.
        temperature, top_p, first_element_temperature
            Of the softmax, of the nucleus, and of the first site's element (None: as the others).
        constraints
            ``elements``, ``required``, ``exclude_radioactive``, ``exclude_noble_gases``,
            ``site_elements``, ``wyckoff`` and ``max_atoms``, as ``sample.constraints`` in the
            configuration.

        Raises
        ------
        ValueError
            If an argument is invalid, or no crystal can satisfy the constraints.
        """
        groups = [space_group] if isinstance(space_group, int) else space_group
        settings = validated(
            SampleSettings,
            {
                "count": n,
                "space_groups": None if groups is None else [*groups],
                "space_group_weights": "uniform" if uniform else "training",
                "temperature": temperature,
                "top_p": top_p,
                "first_element_temperature": first_element_temperature,
                "constraints": constraints,
            },
        )
        return Crystals(draw(self.policy, settings, count=n, name=self.name, seed=seed))

    def save(self, folder: Path | str) -> None:
        """Write the policy into a folder, from which :func:`load_policy` reads it."""
        self.policy.save(Path(folder))


def load_policy(name: str | Path, *, device: str | None = None) -> Generator:
    """Load a policy: a folder, or the name of one that is shipped (``mp20-small``, ``mp20-base``).

    Parameters
    ----------
    device
        ``cpu`` or ``cuda``; None: a GPU if there is one.

    Raises
    ------
    FileNotFoundError
        If there is no such policy; the message lists the names.
    ValueError
        If its files are damaged.
    """
    folder = policy_folder(str(name))
    policy = Policy.load(folder, device=device or best_device())
    return Generator(policy, folder.resolve().name)
