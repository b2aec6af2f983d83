"""Distributions over the crystals of a policy, compared with those of the dataset.

The definitions are those of the papers, so that the numbers compare with published ones as far as
the datasets do (docs/explanation/benchmarks.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class Distances:
    """How far the distributions of n crystals are from those of a dataset; None without crystals.

    Attributes
    ----------
    crystals
        n, the valid ones.
    density
        Wasserstein distance of the mass densities of the valid crystals, g/cm³ (CDVAE).
    num_elements
        Wasserstein distance of the numbers of elements of the valid crystals (CDVAE).
    space_groups
        χ² of the frequencies of space groups as generated (WyFormer).
    relaxed_space_groups
        The same after relaxation.
    expected_space_groups
        χ² expected of as many crystals drawn from the dataset: (number of space groups − 1) / n.
    """

    crystals: int
    density: float | None
    num_elements: float | None
    space_groups: float | None
    relaxed_space_groups: float | None
    expected_space_groups: float | None


def distances(rows: pd.DataFrame, known: pd.DataFrame) -> Distances:
    """How far the crystals of a policy are from the known ones.

    Parameters
    ----------
    rows
        Columns ``valid``, ``density``, ``numbers``, ``space_group``, ``relaxed_space_group`` of the
        table of structures.
    known
        Of :func:`~.known.describe`.
    """
    valid, of_known = rows[rows["valid"]], known["space_group"].dropna().value_counts()
    frequencies = {int(str(group)): int(count) for group, count in of_known.items()}
    groups, relaxed = (
        rows[name].dropna().tolist() for name in ("space_group", "relaxed_space_group")
    )
    return Distances(
        crystals=len(valid),
        density=wasserstein(valid["density"].to_numpy(np.float64), known["density"]),
        num_elements=wasserstein([len(set(n)) for n in valid["numbers"]], known["num_elements"]),
        space_groups=chi_squared(groups, frequencies),
        relaxed_space_groups=chi_squared(relaxed, frequencies),
        expected_space_groups=(len(frequencies) - 1) / len(groups) if groups else None,
    )


def wasserstein(values: ArrayLike, reference: ArrayLike) -> float | None:
    """Wasserstein (earth mover's) distance of two samples, in their unit; None if one is empty."""
    first, second = np.asarray(values), np.asarray(reference)
    if not (first.size and second.size):
        return None
    return float(stats.wasserstein_distance(first, second))


def chi_squared(values: Sequence[int], reference: Mapping[int, int]) -> float | None:
    """χ² of the frequencies of some kinds against those of a reference: Σ (f − f₀)² / f₀.

    As in WyFormer's evaluation, of frequencies and not of counts, and kinds that the reference does
    not have are left out. None if no value is among the reference's kinds.
    """
    kinds, counts = list(reference), np.array(list(reference.values()), dtype=np.float64)
    found = pd.Series(values, dtype="int64").value_counts().reindex(kinds).fillna(0).to_numpy()
    if not found.sum():
        return None
    expected = counts / counts.sum()
    return float(((found / found.sum() - expected) ** 2 / expected).sum())
