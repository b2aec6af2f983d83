"""Loading a potential that the configuration names; the list is in :mod:`..config.potentials`."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from crystalformer_rl.config.potentials import parse
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.self_test import verify


def load(spec: str, *, device: str = "cpu", check: bool = True) -> Potential:
    """Load the potential ``NAME`` or ``NAME:MODEL``.

    Parameters
    ----------
    check
        Whether it must pass its self-test; untrained weights, as in tests, cannot.

    Raises
    ------
    ValueError
        If the spec is not valid, a package is not installed, the model cannot be found, or the
        self-test fails.
    """
    info, model = parse(spec)
    if missing := [package for package in info.packages if not _installed(package)]:
        raise ValueError(
            f"potential {spec!r} needs {' and '.join(missing)}, which is not installed: "
            f'pip install "crystalformer-rl[{info.name}]"'
        )
    module: Any = import_module(info.module)
    potential: Potential = module.build(model, device=device)
    if check:
        verify(potential)
    return potential


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
