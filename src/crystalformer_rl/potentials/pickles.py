"""Weights that are Python pickles: loading one can run code and therefore has to be allowed.

A pickle that contains only arrays and plain values can be read by torch's restricted reader, which
runs no code. Any other is rejected unless the user trusts it.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Modules of the functions that rebuild numpy's arrays and scalars; the name depends on the version.
REBUILDERS = ("numpy.core.multiarray", "numpy._core.multiarray")
KINDS = np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?U"
_ARRAYS: list[Any] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in KINDS),
    *((np.zeros(1).__reduce__()[0], f"{module}._reconstruct") for module in REBUILDERS),
    *((np.float64(0).__reduce__()[0], f"{module}.scalar") for module in REBUILDERS),
]  # fmt: skip


def refuse_unless_harmless(path: Path, *, trusted: bool) -> None:
    """Reject a file of ``torch.save`` that names anything but tensors, arrays and plain values.

    Raises
    ------
    ValueError
        If it names anything else and is not trusted; see :func:`refuse_unless_trusted`.
    FileNotFoundError
        If the file does not exist.
    """
    with torch.serialization.safe_globals(_ARRAYS):
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            refuse_unless_trusted(path, trusted=trusted)


def read_without_code(path: Path) -> Any:
    """What a file of ``torch.save`` holds, for a package that never runs code from it.

    Raises
    ------
    ValueError
        If it cannot be read that way.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: cannot be read without running code, and its package does not run any: save "
            "the model again with the installed version of the package"
        ) from error


def refuse_unless_trusted(
    path: Path,
    *,
    trusted: bool,
    problem: str = "is a Python pickle, and loading it can run any code",
) -> None:
    """Reject a file that can run code.

    Raises
    ------
    ValueError
        If it is not trusted; the message names the setting that allows it.
    FileNotFoundError
        If the file does not exist.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if not trusted:
        raise ValueError(
            f"{path} {problem}. If you trust its source, set `trust_pickles: true` under "
            "`jobs:` in config.yaml (outside the workflow: --trust-pickles)"
        )
