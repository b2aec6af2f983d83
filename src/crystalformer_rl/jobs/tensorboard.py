"""TensorBoard output of a running training."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


class TensorBoard:
    """Writes the rows of a history into event files in a folder.

    After an interruption a new event file is started, which hides later steps of the old one.

    Raises
    ------
    ValueError
        If the package is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._writers = import_module("torch.utils.tensorboard")
        except ImportError as error:
            raise ValueError(
                f"--tensorboard {folder} needs a package that is not installed ({error}): "
                "pip install tensorboard"
            ) from error
        self._folder = folder
        self._writer: Any = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Write the values of a row at its ``step``; None is skipped."""
        step = row["step"]
        if self._writer is None:
            self._writer = self._writers.SummaryWriter(str(self._folder), purge_step=step)
        for name, value in row.items():
            if name != "step" and value is not None:
                self._writer.add_scalar(name, value, step)
        self._writer.flush()
