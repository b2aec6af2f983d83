"""Generated crystals and what became of them: samples joined with their relaxations."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.crystal.structures import COLUMNS, structures_of
from crystalformer_rl.evaluation.diversity import prototype
from crystalformer_rl.evaluation.matching import Candidate

# With these statuses the last geometry has an energy that means something. A crystal that ran out
# of steps is judged as it stands: its energy is above that of the minimum, not below.
JUDGED = ("converged", "not_converged")
KEY = ["policy", "id"]
SAMPLE_COLUMNS = ("policy", "id", "space_group", "wyckoff", "log_prob", "decode_error", *COLUMNS)
RELAX_COLUMNS = (
    "policy", "id", "potential", "status", "error", "energy_initial", "energy_final",
    *(f"relaxed_{name}" for name in COLUMNS),
)  # fmt: skip


@dataclass(frozen=True)
class Generated:
    """n generated crystals, of one or more policies.

    Attributes
    ----------
    table
        One row each, the columns of sample and relaxation shards side by side.
    structures
        As generated; None where they could not be decoded.
    relaxed
        After relaxation; None where it failed.
    candidates
        What uniqueness and novelty are judged on: the relaxed crystal, else the generated one.
    """

    table: pd.DataFrame
    structures: list[Structure | None]
    relaxed: list[Structure | None]
    candidates: list[Candidate | None]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Generated":
        """The crystals of a table that :func:`merge` made, or of some of its rows."""
        structures = structures_of(table)
        judged = table["status"].isin(JUDGED).tolist()
        relaxed = [
            structure if keep else None
            for structure, keep in zip(structures_of(table, prefix="relaxed_"), judged, strict=True)
        ]
        best = [after or before for after, before in zip(relaxed, structures, strict=True)]
        return cls(table, structures, relaxed, [Candidate(s) if s else None for s in best])

    def prototypes(self) -> list[str | None]:
        """Space group and Wyckoff letters of each; None where it could not be decoded."""
        rows = zip(self.structures, self.table["space_group"], self.table["wyckoff"], strict=True)
        return [prototype(group, letters) if one else None for one, group, letters in rows]

    def energies(self, name: str) -> NDArray[np.float64]:
        """(n,) ``energy_initial`` or ``energy_final``, eV/atom; NaN where there is none."""
        energies = self.table[name].to_numpy(dtype=np.float64, na_value=np.nan)
        if name == "energy_final":
            energies = np.where(self.table["status"].isin(JUDGED), energies, np.nan)
        return np.asarray(energies)


def merge(samples: pd.DataFrame, relaxations: pd.DataFrame) -> pd.DataFrame:
    """Join the shards' rows by policy and id, in the order of the samples.

    Parameters
    ----------
    samples, relaxations
        Rows of the shards, each with a column ``policy``.

    Raises
    ------
    ValueError
        If a column is missing, an id occurs twice, or an id is in one table and not in the other.
    """
    for what, table, columns in (
        ("sample", samples, SAMPLE_COLUMNS),
        ("relaxation", relaxations, RELAX_COLUMNS),
    ):
        if missing := [name for name in columns if name not in table.columns]:
            raise ValueError(f"the {what} shards lack the columns {missing}")
        repeated = table[table.duplicated(KEY)]
        if len(repeated):
            raise ValueError(f"id {repeated['id'].iloc[0]!r} occurs twice in the {what} shards")
    alone = set(_keys(samples)) ^ set(_keys(relaxations))
    if alone:
        raise ValueError(
            f"{len(alone)} crystals are not both in the sample and in the relaxation shards, such "
            f"as {min(alone)}: shards of different runs or policies"
        )
    return samples[list(SAMPLE_COLUMNS)].merge(
        relaxations[list(RELAX_COLUMNS)], on=KEY, how="left", validate="one_to_one"
    )


def _keys(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["policy"].astype(str), table["id"].astype(str), strict=True))
