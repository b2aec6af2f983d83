"""The past of a branch, from the crystals that it has sampled: its memory and its elites."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crystalformer_rl.config.memory import EliteSettings, MemorySettings
from crystalformer_rl.crystal.token_table import tokens_of
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import read_table
from crystalformer_rl.layout import CRYSTALS
from crystalformer_rl.training.crystals import formulas
from crystalformer_rl.training.elites import COLUMNS, Elites
from crystalformer_rl.training.memory import Memory, crystal_keys, known_weights

READ = [*COLUMNS, "valid"]
"""The columns of the table of crystals that are read."""


def earlier_steps(paths: Sequence[Path], *, steps: int) -> list[pd.DataFrame]:
    """The crystals of each step of the rounds before, from their files in order.

    Parameters
    ----------
    steps
        Number of steps in these rounds.

    Raises
    ------
    ValueError
        If a file cannot be read, or the files do not hold each step once and in order.
    """
    tables = [rows for path in paths for _, rows in read_table(path, READ).groupby("step")]
    found = [int(rows["step"].iloc[0]) for rows in tables]
    if found != list(range(1, steps + 1)):
        raise ValueError(
            f"--earlier must be the {CRYSTALS} of all rounds before, in order, with the steps 1 to "
            f"{steps}; {', '.join(map(str, paths)) or 'no file'}: {len(found)} steps"
        )
    return tables


@dataclass(frozen=True)
class Past:
    """The memory and the elites after some steps.

    It is a function of the table of their crystals. Interrupted rounds and later rounds rebuild it
    from that table, so that nothing else has to be carried along.

    Attributes
    ----------
    memory_settings
        If they discount nothing, compositions are still counted for the history.
    known
        Reduced formulas of the dataset, which count less from the first occurrence on.
    """

    memory_settings: MemorySettings
    elite_settings: EliteSettings
    known: AbstractSet[str] = frozenset()
    memory: Memory = field(default_factory=Memory)
    elites: Elites = field(default_factory=Elites)

    def __post_init__(self) -> None:
        if self.memory_settings.known < 1 and not self.known:
            raise ValueError(
                "memory.known needs the dataset: give its structures.parquet with --known"
            )

    def weights(self, tokens: CrystalTokens, counted: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(B,) weight of each crystal of the next batch; 1 for those that do not count.

        Parameters
        ----------
        counted
            (B,) crystals with a reward; failures and abstentions are not remembered.
        """
        weights = np.ones(len(tokens))
        if self.memory_settings.by is not None:
            keys = crystal_keys(tokens, self.memory_settings)[counted]
            weights[counted] = self.memory.batch_weights(keys, self.memory_settings)
        if self.memory_settings.known < 1:
            weights[counted] *= known_weights(
                formulas(tokens[counted]), self.known, self.memory_settings
            )
        return weights

    def after(self, steps: Iterable[pd.DataFrame]) -> "Past":
        """The past after more steps, given the table of crystals of each.

        The tables need the columns of :data:`READ` only.
        """
        past = self
        for rows in steps:
            past = past._after_step(rows)
        return past

    def metrics(self, rows: pd.DataFrame, after: "Past") -> dict[str, float | None]:
        """Columns of the history for the step with these crystals, between this past and ``after``.

        repeat_fraction (of the rewarded crystals, those whose composition or prototype is
        remembered or occurs earlier in the batch), known_fraction (of the rewarded crystals, those
        whose formula the dataset has, if that counts), memory_weight (mean over the rewarded
        crystals), distinct (compositions or prototypes in the branch, this step included), and
        those of :meth:`crystalformer_rl.training.elites.Elites.metrics` if there are elites.
        """
        counted = rows[rows["valid"]]
        keys = crystal_keys(tokens_of(counted), self.memory_settings)
        window = self.memory_settings.window
        new = (self.memory.occurrences(np.unique(keys), window=window) == 0).sum()
        weight = counted["memory_weight"].to_numpy(dtype=np.float64)
        return {
            "repeat_fraction": float(1 - new / len(keys)) if len(keys) else None,
            **self._known_fraction(counted),
            "memory_weight": float(weight.mean()) if len(keys) else None,
            "distinct": after.memory.distinct,
            **(after.elites.metrics() if self.elite_settings.weight else {}),
        }

    def _known_fraction(self, counted: pd.DataFrame) -> dict[str, float | None]:
        if self.memory_settings.known == 1:
            return {}
        share = counted["formula"].isin(self.known).mean()
        return {"known_fraction": float(share) if len(counted) else None}

    def _after_step(self, rows: pd.DataFrame) -> "Past":
        tokens = tokens_of(rows[rows["valid"]])
        memory = self.memory.after(crystal_keys(tokens, self.memory_settings))
        if not self.elite_settings.weight:
            return replace(self, memory=memory)
        elites = self.elites.after(
            rows, memory, settings=self.elite_settings, by=self.memory_settings
        )
        return replace(self, memory=memory, elites=elites)
