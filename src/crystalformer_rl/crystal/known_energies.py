"""The energies that a table of crystals already has by a potential."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crystalformer_rl.crystal.labels import energy_column


def known_energies(table: pd.DataFrame, potential: str) -> NDArray[np.float64]:
    """(n,) energy of each row by ``potential``, eV/atom; NaN where the table has none.

    Read are the column of the potential (:func:`~.labels.energy_column`), and where that is empty
    ``energy_per_atom``, if the column ``potential`` names this one.
    """
    energies = np.full(len(table), np.nan)
    if {"energy_per_atom", "potential"} <= set(table.columns):
        own = (table["potential"] == potential).to_numpy(dtype=bool, na_value=False)
        energies[own] = table["energy_per_atom"].to_numpy(np.float64, na_value=np.nan)[own]
    if (column := energy_column(potential)) in table:
        values = table[column].to_numpy(np.float64, na_value=np.nan)
        energies = np.where(np.isfinite(values), values, energies)
    return np.where(np.isfinite(energies), energies, np.nan)
