"""Which potentials there are, and how they are named: ``NAME`` or ``NAME:MODEL_OR_PATH``."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from crystalformer_rl.config.fields import DEFAULT_MODELS
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.self_test import verify


@dataclass(frozen=True)
class Entry:
    """A registered potential.

    Attributes
    ----------
    module
        Where its ``build(model, *, device)`` lives.
    packages
        What it imports; the extra of the potential's name installs them.
    model
        What may stand after the colon; None if nothing may.
    default
        What stands for a missing colon; None if it must not miss.
    """

    module: str
    packages: tuple[str, ...]
    model: str | None = None
    default: str | None = None


POTENTIALS = {
    "chgnet": Entry("crystalformer_rl.potentials.chgnet", ("chgnet",)),
    "sevennet": Entry(
        "crystalformer_rl.potentials.sevennet",
        ("sevenn",),
        model="the name of a pretrained model, such as 7net-0, or a checkpoint",
        default=DEFAULT_MODELS["sevennet"],
    ),
    "orb": Entry(
        "crystalformer_rl.potentials.orb",
        ("orb_models",),
        model="the name of a pretrained model, such as orb-v2, or a file of weights whose name "
        "begins with it",
    ),
    "matgl": Entry(
        "crystalformer_rl.potentials.matgl",
        ("matgl",),
        model="a folder with model.json, or the name of a model on the hub",
    ),
    "nequix": Entry(
        "crystalformer_rl.potentials.nequix",
        ("nequix", "torch_geometric"),
        model="a file of weights, .nqx or .pt",
    ),
    "mace": Entry("crystalformer_rl.potentials.mace", ("mace",), model="a .model file"),
}


@dataclass(frozen=True)
class Spec:
    """Which potential, with which weights (None: the only ones there are)."""

    name: str
    model: str | None


def parse(spec: str) -> Spec:
    """Take ``NAME`` or ``NAME:MODEL_OR_PATH`` apart.

    Raises
    ------
    ValueError
        If no potential has this name, or the model is missing or out of place.
    """
    name, colon, model = spec.partition(":")
    if name not in POTENTIALS:
        raise ValueError(f"potential {spec!r} is unknown; available: {', '.join(POTENTIALS)}")
    entry = POTENTIALS[name]
    if colon and entry.model is None:
        raise ValueError(f"potential {spec!r}: {name} has one model only; write {name!r}")
    if colon and not model.strip():
        raise ValueError(f"potential {spec!r}: after the colon comes {entry.model}")
    if not colon and entry.model is not None and entry.default is None:
        raise ValueError(f"potential {spec!r}: write {name}:MODEL, which is {entry.model}")
    return Spec(name, model if colon else entry.default)


def load(spec: str, *, device: str = "cpu", check: bool = True) -> Potential:
    """Load a potential by its spec string.

    Parameters
    ----------
    check
        Whether its known answers are verified; weights that were never trained have none.

    Raises
    ------
    ValueError
        If the spec is not valid, a package is not installed, the model cannot be found, or a
        known answer is missed.
    """
    parsed = parse(spec)
    entry = POTENTIALS[parsed.name]
    if missing := [package for package in entry.packages if find_spec(package) is None]:
        raise ValueError(
            f"potential {spec!r} needs {' and '.join(missing)}, not installed here: "
            f'pip install "crystalformer-rl[{parsed.name}]"'
        )
    module: Any = import_module(entry.module)
    potential: Potential = module.build(parsed.model, device=device)
    if check:
        verify(potential)
    return potential
