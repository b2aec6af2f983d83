"""Flags of the table as leaderboards define them, for comparison with published fractions.

LeMat-GenBench (arXiv 2512.04562; ``metrics/sun_metric.py`` of its repository) takes the crystals in
another order than S.U.N. here: unique among all, of those the novel ones, of those the stable ones.
Stable is E_hull ≤ 0, and metastable 0 < E_hull ≤ 0.1 eV/atom, each counted on its own.
"""

from typing import Any

import numpy as np
import pandas as pd

STABLE, METASTABLE = 0.0, 0.1
"""Highest energy above hull, eV/atom."""


def leaderboard_columns(table: pd.DataFrame) -> dict[str, Any]:
    """``lemat_sun`` and ``lemat_msun`` of a table with ``unique``, ``novel``, ``e_above_hull``."""
    energy = table["e_above_hull"].to_numpy(dtype=np.float64, na_value=np.nan)
    new = (table["unique"] & table["novel"]).to_numpy(dtype=bool)
    return {
        "lemat_sun": new & (energy <= STABLE),
        "lemat_msun": new & (energy > STABLE) & (energy <= METASTABLE),
    }
