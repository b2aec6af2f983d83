"""What a branch remembers of the crystals that it has sampled: its memory and its elites."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crystalformer_rl.config.memory import EliteSettings, MemorySettings
from crystalformer_rl.crystal.token_table import tokens_of
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.training.elites import COLUMNS, Elites
from crystalformer_rl.training.memory import KEYS, Keys, Memory

READ = [*COLUMNS, "valid"]
"""The columns of the table of crystals that are read."""


@dataclass(frozen=True)
class Past:
    """What is remembered after some steps.

    It is a function of the table of their crystals. Interrupted rounds and later rounds rebuild it
    from that table, so that nothing else has to be carried along.

    Attributes
    ----------
    memory_settings
        None: compositions are counted for the history, but repeats are not discounted.
    elite_settings
        None: no elites. Elites need a memory.
    """

    memory_settings: MemorySettings | None = None
    elite_settings: EliteSettings | None = None
    memory: Memory = field(default_factory=Memory)
    elites: Elites = field(default_factory=Elites)

    def weights(self, tokens: CrystalTokens, counted: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(B,) weight of each crystal of the next batch; 1 for those that do not count.

        Parameters
        ----------
        counted
            (B,) crystals with a reward; failures and abstentions are not remembered.
        """
        weights = np.ones(len(tokens))
        if self.memory_settings is not None:
            keys = self._keys(tokens)[counted]
            weights[counted] = self.memory.batch_weights(keys, self.memory_settings)
        return weights

    def after(self, steps: Iterable[pd.DataFrame]) -> "Past":
        """What is remembered after more steps, given the table of crystals of each.

        The tables need the columns of :data:`READ` only.
        """
        past = self
        for rows in steps:
            past = past._after_step(rows)
        return past

    def metrics(self, rows: pd.DataFrame) -> dict[str, float | None]:
        """Columns of the history for the step with these crystals, which follows this past.

        repeat_fraction (of the rewarded crystals, those whose composition or prototype is
        remembered or occurs earlier in the batch), memory_weight (mean over the rewarded crystals),
        distinct (compositions or prototypes in the branch, this step included), and those of
        :meth:`crystalformer_rl.training.elites.Elites.metrics` if there are elites.
        """
        counted = rows[rows["valid"]]
        keys = self._keys(tokens_of(counted))
        after = self.after([rows])
        window = None if self.memory_settings is None else self.memory_settings.window
        new = (self.memory.occurrences(np.unique(keys), window=window) == 0).sum()
        weight = counted["memory_weight"].to_numpy(dtype=np.float64)
        return {
            "repeat_fraction": float(1 - new / len(keys)) if len(keys) else None,
            "memory_weight": float(weight.mean()) if len(keys) else None,
            "distinct": after.memory.distinct,
            **({} if self.elite_settings is None else after.elites.metrics()),
        }

    def _after_step(self, rows: pd.DataFrame) -> "Past":
        memory = self.memory.after(self._keys(tokens_of(rows[rows["valid"]])))
        if self.memory_settings is None or self.elite_settings is None:
            return replace(self, memory=memory)
        elites = self.elites.after(
            rows, memory, settings=self.elite_settings, by=self.memory_settings
        )
        return replace(self, memory=memory, elites=elites)

    def _keys(self, tokens: CrystalTokens) -> Keys:
        by = "composition" if self.memory_settings is None else self.memory_settings.by
        return KEYS[by](tokens)
