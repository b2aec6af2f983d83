"""Elites: the best distinct crystals of a branch, as in MatInvent (arXiv 2511.03112).

MatInvent keeps 100 crystals, one of each composition, replays 10 of them with every batch, and
drops those whose composition the memory no longer rewards. Here one of each composition and space
group is kept. :mod:`crystalformer_rl.training.replay` says what an update makes of them.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from crystalformer_rl.config.memory import EliteSettings, MemorySettings
from crystalformer_rl.crystal.token_table import TOKEN_COLUMNS, tokens_of
from crystalformer_rl.training.memory import Memory, crystal_keys

COLUMNS = ["step", *TOKEN_COLUMNS, "formula", "value", "base_log_prob"]
DISTINCT = ["formula", "space_group"]


@dataclass(frozen=True, eq=False)
class Elites:
    """The best crystals so far, best first.

    Attributes
    ----------
    rows
        The columns :data:`COLUMNS` of :func:`crystalformer_rl.training.crystals.crystal_rows`, and
        ``key``, that of the memory.
    """

    rows: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*COLUMNS, "key"]))

    def after(
        self, rows: pd.DataFrame, memory: Memory, *, settings: EliteSettings, by: MemorySettings
    ) -> "Elites":
        """The elites after another step.

        The best crystal of each composition and space group is kept, at equal value the newer one,
        unless the memory no longer rewards it.

        Parameters
        ----------
        rows
            The crystals of the step.
        memory
            The memory after the step.
        by
            Settings of the memory.
        """
        new = rows.loc[rows["valid"], COLUMNS]
        new = new.assign(key=crystal_keys(tokens_of(new), by))
        both = pd.concat([new, self.rows]) if len(self.rows) else new
        both = both[memory.next_weights(both["key"].to_numpy(dtype=np.int64), by) > 0]
        ranked = both.sort_values("value", ascending=False, kind="stable")
        return Elites(ranked.drop_duplicates(DISTINCT).head(settings.kept).reset_index(drop=True))

    def drawn(self, *, settings: EliteSettings, seed: int) -> pd.DataFrame:
        """The rows to replay, drawn at random without replacement."""
        number = min(settings.replayed, len(self.rows))
        places = np.random.default_rng(seed).choice(len(self.rows), size=number, replace=False)
        return self.rows.iloc[np.sort(places)]

    def metrics(self) -> dict[str, float | None]:
        """Columns of the history: the largest and the mean reward of the elites."""
        values = self.rows["value"].to_numpy(dtype=np.float64)
        if not len(values):
            return {"elite_best": None, "elite_mean": None}
        return {"elite_best": float(values.max()), "elite_mean": float(values.mean())}
