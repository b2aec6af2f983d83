"""Weights that are Python pickles: reading one runs what it says, so it has to be asked for.

A pickle that holds nothing but arrays and plain values is told by torch's restricted reader, which
runs nothing; any other is refused unless the user trusts it.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

# What numpy's arrays and numbers are rebuilt by; the name of the module differs by its version.
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
    """Refuse a file of ``torch.save`` that names anything but tensors, arrays and plain values.

    Raises
    ------
    ValueError
        If it does and the user does not trust it; see :func:`refuse_unless_trusted`.
    FileNotFoundError
        If there is no such file.
    """
    with torch.serialization.safe_globals(_ARRAYS):
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            refuse_unless_trusted(path, trusted=trusted)


def refuse_unless_trusted(
    path: Path,
    *,
    trusted: bool,
    because: str = "is a Python pickle, and loading it runs whatever it says",
) -> None:
    """Refuse a file that can run code.

    Raises
    ------
    ValueError
        If it is not trusted; the message names the setting.
    FileNotFoundError
        If there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if not trusted:
        raise ValueError(
            f"{path} {because}. If you trust where it came from, set `trust_pickles: true` under "
            "`jobs:` in config.yaml (outside the workflow: --trust-pickles)"
        )
