"""Every crystal that a branch has sampled, as a table with a row per crystal.

The table is part of every checkpoint, a tensor of bytes for each step, so that after an
interruption no row is missing and none is there twice. At the end of a round it becomes
``crystals.parquet``, from which later rounds know what the branch has sampled.
"""

import io
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pymatgen.core import Composition

from crystalformer_rl.config.fields import SYMBOLS
from crystalformer_rl.crystal.token_table import token_columns
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.checkpoints import with_prefix
from crystalformer_rl.training.memory import composition_counts
from crystalformer_rl.training.rollout import Rollout

PREFIX = "crystals."

Floats = NDArray[np.float64]


def crystal_rows(step: int, rollout: Rollout, *, weight: Floats, advantage: Floats) -> pd.DataFrame:
    """The crystals of one step, with numbers as float32 and uint8.

    Columns: step, those of :func:`crystalformer_rl.crystal.token_table.token_columns`, formula
    (reduced), value (of the reward, before the memory discounts it), valid, abstain, memory_weight
    (of the memory), advantage, log_prob and base_log_prob (ln p under the policy that sampled the
    crystal and under the base policy), and every component of the reward.

    Parameters
    ----------
    step
        Number of the step in the branch.
    weight, advantage
        (B,) as the policy was trained with.
    """
    rewards, tokens = rollout.rewards, rollout.tokens
    numbers = {
        "value": rewards.value,
        "memory_weight": weight,
        "advantage": advantage,
        "log_prob": rollout.log_prob.numpy(),
        "base_log_prob": rollout.base_log_prob.numpy(),
        **rewards.components,
    }
    return pd.DataFrame(
        {
            "step": np.full(len(tokens), step, dtype=np.int32),
            **token_columns(tokens, whole=np.uint8, real=np.float32),
            "formula": formulas(tokens),
            "valid": rewards.valid,
            "abstain": rewards.abstain,
            **{name: array.astype(np.float32) for name, array in numbers.items()},
        }
    )


def formulas(tokens: CrystalTokens) -> list[str]:
    """Reduced formula of each crystal."""
    return [
        Composition({SYMBOLS[z - 1]: int(row[z]) for z in np.flatnonzero(row)}).reduced_formula
        for row in composition_counts(tokens)
    ]


class RoundCrystals:
    """The crystals of a round so far."""

    def __init__(self, steps: Iterable[torch.Tensor] = ()) -> None:
        self._steps = list(steps)

    def add(self, rows: pd.DataFrame) -> None:
        """Add the crystals of the next step, see :func:`crystal_rows`."""
        stream = io.BytesIO()
        rows.to_parquet(stream, index=False, compression="zstd")
        self._steps.append(torch.frombuffer(bytearray(stream.getvalue()), dtype=torch.uint8))

    def tables(self) -> list[pd.DataFrame]:
        """The table of each step."""
        return [pd.read_parquet(io.BytesIO(step.numpy().tobytes())) for step in self._steps]

    def table(self) -> pd.DataFrame:
        """The crystals of all steps."""
        return pd.concat(self.tables(), ignore_index=True) if self._steps else pd.DataFrame()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tables as bytes, for a checkpoint."""
        return {f"{PREFIX}{number:06d}": step for number, step in enumerate(self._steps)}

    @classmethod
    def restore(cls, tensors: Mapping[str, torch.Tensor]) -> "RoundCrystals":
        """The crystals that :meth:`tensors` described; other tensors are left aside."""
        found = with_prefix(tensors, PREFIX)
        return cls(found[name] for name in sorted(found))
