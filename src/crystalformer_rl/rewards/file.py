"""Reward: the score of each crystal by a Python file that the configuration names.

The file defines ``score(structures)``. It gets the crystals that could be decoded, as a list of
pymatgen ``Structure``, and returns one finite number for each; larger is better. A crystal that
could not be decoded gets the lowest score of its batch. Where none could be decoded, the reward
abstains.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.config.file_reward import FileReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.rewards.base import RewardBatch, Sources

MODULE = "reward_of_the_user"
AFTER = "Correct the file and run again"


@dataclass(frozen=True)
class FunctionScore:
    """The scores of a function, checked.

    Attributes
    ----------
    path
        The file in which it is defined; error messages name it.
    function
        Takes a list of crystals and returns a finite number for each.
    """

    path: str
    function: Callable[[list[Structure]], Any]

    def score(self, cells: Sequence[Cell | None]) -> RewardBatch:
        """Reward a batch.

        Raises
        ------
        ValueError
            If the function raises, or returns anything but a finite number for each crystal.
        """
        valid = np.array([cell is not None for cell in cells], dtype=np.bool_)
        scores = np.full(len(cells), np.nan)
        if valid.any():
            scores[valid] = self._scores([c.structure() for c in cells if c is not None])
        worst = float(scores[valid].min()) if valid.any() else 0.0
        return RewardBatch(
            value=np.where(valid, scores, worst),
            valid=valid,
            abstain=np.full(len(cells), not valid.any()),
            components={"score": scores},
            failure=worst,
        )

    def _scores(self, crystals: list[Structure]) -> NDArray[np.float64]:
        path = self.path
        try:
            answer = self.function(crystals)
        except Exception as error:
            raise ValueError(_explain(path, "score raised ", error)) from error
        where = f"{path}{_line(self.function)}"
        try:
            scores = np.asarray(answer, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"{where}: score must return a sequence of numbers, not {answer!r:.80} ({error}). "
                + AFTER
            ) from error
        if scores.shape != (len(crystals),):
            found = f"{len(scores)} numbers" if scores.ndim == 1 else f"an array {scores.shape}"
            raise ValueError(
                f"{where}: score must return one number for each of the {len(crystals)} crystals, "
                f"but it returned {found}. {AFTER}"
            )
        for index in np.flatnonzero(~np.isfinite(scores)):
            raise ValueError(
                f"{where}: score returned {scores[index]} for crystal {index} of {len(crystals)}, "
                f"{crystals[index].formula}; every score must be a finite number. {AFTER}"
            )
        return scores


@dataclass(frozen=True)
class FileScore(FunctionScore):
    """The scores of the function of a file that the configuration names."""

    settings: FileReward


def read_function(path: str) -> Callable[[list[Structure]], Any]:
    """Run the file and return its ``score``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not valid Python, raises, or defines no such function.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; reward.path names it")
    module = ModuleType(MODULE)
    module.__file__ = path
    try:
        code = compile(Path(path).read_bytes(), path, "exec")
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        text = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"{path}{line}: not valid Python: {text}. {AFTER}") from error
    sys.modules[MODULE] = module  # dataclasses look up the module in which they are defined
    try:
        exec(code, vars(module))
    except Exception as error:
        raise ValueError(_explain(path, "", error)) from error
    function: Callable[[list[Structure]], Any] | None = getattr(module, "score", None)
    if not callable(function):
        raise ValueError(  # noqa: TRY004 - the mistake is in the user's file
            f"{path}: defines no function score(structures), which must return one number for "
            f"each crystal. {AFTER}"
        )
    return function


def _explain(path: str, what: str, error: Exception) -> str:
    """The error with the line of the user's file in which it happened, or from which it came."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == path
    ]
    where = f"{path}, line {lines[-1]}" if lines else path
    return f"{where}: {what}{type(error).__name__}: {error}. {AFTER}"


def _line(function: Callable[..., Any]) -> str:
    """Where the function begins; nothing for a callable object that is not a function."""
    code = getattr(function, "__code__", None)
    return "" if code is None else f", line {code.co_firstlineno}"


def build(settings: FileReward, sources: Sources) -> FileScore:
    """The reward of the file that ``settings`` name."""
    return FileScore(settings.path, read_function(settings.path), settings)
