"""Loading of the potentials listed in :mod:`..config.potentials`."""

import argparse
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from packaging.requirements import Requirement

from crystalformer_rl.config.potentials import parse
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.self_test import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of every verb that loads a potential."""
    parser.add_argument(
        "--trust-pickles",
        action="store_true",
        help="load a potential from a Python pickle, which can run any code",
    )


def load(
    spec: str, *, device: str = "cpu", check: bool = True, trust_pickles: bool = False
) -> Potential:
    """Load the potential ``NAME`` or ``NAME:MODEL``.

    Parameters
    ----------
    check
        Whether the potential must pass its self-test; untrained weights in tests do not.
    trust_pickles
        Whether files that can run code may be loaded; see :mod:`.pickles`.

    Raises
    ------
    ValueError
        If ``spec`` is invalid, a package is not installed, the model cannot be found or is not
        trusted, or the self-test fails.
    """
    info, model = parse(spec)
    if missing := [package for package in info.packages if not _installed(package)]:
        raise ValueError(
            f"potential {spec!r} needs packages that are not installed: {', '.join(missing)}. Run "
            f"pip install {_requirements(info.name)}"
        )
    module: Any = import_module(info.module)
    trust = {"trust_pickles": trust_pickles} if info.pickled else {}
    potential: Potential = module.build(model, device=device, **trust)
    if check:
        verify(potential, device=device)
    return potential


def _requirements(extra: str) -> str:
    """What an extra of this package asks for, as arguments of pip.

    The extra itself cannot be named: pip would look for the package in its registry.
    """
    listed = map(Requirement, requires("crystalformer-rl") or [])
    return " ".join(
        f'"{one.name}{one.specifier}"'
        for one in listed
        if one.marker is not None and one.marker.evaluate({"extra": extra})
    )


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
