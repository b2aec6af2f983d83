"""The list of potentials: the names that a user can write, and the facts that the package needs.

Adding one takes a wrapper in ``potentials/``, a row of :data:`POTENTIALS`, an extra in
``pyproject.toml``, a test and a paragraph in the docs. Whatever names potentials reads this list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PotentialInfo:
    """A potential that the configuration can name, as ``NAME`` or ``NAME:MODEL``.

    Attributes
    ----------
    name
        What the configuration calls it; also its module in ``potentials/`` and the extra of
        ``pyproject.toml`` that installs it.
    title
        What the report calls it.
    packages
        Distributions on PyPI that it imports, the one that defines the potential first.
    licence
        Licence of that package; weights have their own.
    model
        Placeholder for what follows the colon, such as ``PATH``; None if nothing may.
    model_is
        The meaning of the placeholder.
    default
        Model of the bare name; None if a model must be given.
    pickled
        Whether its files may be such that loading them runs code, for which ``jobs.trust_pickles``
        must be set. Its ``build`` gets that as ``trust_pickles``.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    licence: str
    model: str | None = None
    model_is: str = ""
    default: str | None = None
    pickled: bool = False

    @property
    def module(self) -> str:
        """The module with its ``build(model, *, device)``."""
        return f"crystalformer_rl.potentials.{self.name}"

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms in which it can be written: ``sevennet`` and ``sevennet:MODEL``."""
        bare = () if self.model and self.default is None else (self.name,)
        return bare if self.model is None else (*bare, f"{self.name}:{self.model}")


_ROWS = (
    PotentialInfo(
        "chgnet",
        title="CHGNet",
        packages=("chgnet",),
        licence="modified BSD",
    ),
    PotentialInfo(
        "sevennet",
        title="SevenNet",
        packages=("sevenn",),
        licence="MIT",
        model="MODEL",
        model_is="the name of a pretrained model, such as 7net-0, or the path of a checkpoint",
        default="7net-0",
        pickled=True,
    ),
    PotentialInfo(
        "orb",
        title="Orb",
        packages=("orb-models",),
        licence="Apache-2.0",
        model="MODEL_OR_PATH",
        model_is="the name of a pretrained model, such as orb-v2, or a file of weights whose name "
        "begins with such a name",
    ),
    PotentialInfo(
        "matgl",
        title="MatGL",
        packages=("matgl",),
        licence="BSD-3-Clause",
        model="FOLDER_OR_NAME",
        model_is="a folder with model.json, or the name of a model on the hub",
        pickled=True,
    ),
    PotentialInfo(
        "nequix",
        title="Nequix",
        packages=("nequix", "e3nn", "torch-geometric"),
        licence="MIT",
        model="PATH",
        model_is="a file of weights, .nqx or .pt",
    ),
    PotentialInfo(
        "mace",
        title="MACE",
        packages=("mace-torch",),
        licence="MIT",
        model="PATH",
        model_is="a .model file",
        pickled=True,
    ),
)
POTENTIALS: Mapping[str, PotentialInfo] = {row.name: row for row in _ROWS}
"""Every potential, by name."""
FORMS = tuple(form for row in _ROWS for form in row.forms)
"""Every form in which a potential can be written, for messages and help texts."""


def parse(spec: str) -> tuple[PotentialInfo, str | None]:
    """The potential that ``spec`` names, and its model (None if it has only one).

    Raises
    ------
    ValueError
        If the name is unknown, or a model is missing or given to a potential that has only one.
    """
    name, colon, model = spec.partition(":")
    if name not in POTENTIALS:
        raise ValueError(f"unknown potential {spec!r}: allowed are {', '.join(FORMS)}")
    info = POTENTIALS[name]
    if not colon and info.model is not None and info.default is None:
        raise ValueError(f"{spec!r} lacks its model: {_written(info)}")
    if colon and info.model is None:
        raise ValueError(f"{spec!r} names a model, and {name} has only one: write {name}")
    if colon and not model.strip():
        raise ValueError(f"{spec!r} has no model after the colon: {_written(info)}")
    return info, model if colon else info.default


def title(spec: str) -> str:
    """The name of a potential in the report: its title and, if one is given, its model.

    >>> title("sevennet"), title("mace:weights/medium.model")
    ('SevenNet', 'MACE medium.model')
    """
    info, model = parse(spec)
    return info.title if model == info.default else f"{info.title} {Path(model or '').name}"


def _written(info: PotentialInfo) -> str:
    return f"write {info.name}:{info.model}, where {info.model} is {info.model_is}"
