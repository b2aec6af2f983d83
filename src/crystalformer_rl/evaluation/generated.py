"""Generated crystals: the rows of the sample shards joined with those of the relaxation shards."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.structures import COLUMNS, cells_of
from crystalformer_rl.evaluation.diversity import prototype
from crystalformer_rl.evaluation.matching import MatchingCell
from crystalformer_rl.potentials.relax import WITH_ENERGY

KEY = ["policy", "id"]
SAMPLE_COLUMNS = ("policy", "id", "space_group", "wyckoff", "log_prob", "decode_error", *COLUMNS)
RELAX_COLUMNS = (
    "policy", "id", "potential", "status", "error", "energy_initial", "energy_final",
    *(f"relaxed_{name}" for name in COLUMNS),
)  # fmt: skip

# Columns of these that are not in the table of structures.
INTERNAL = ("wyckoff", "status", "error", "decode_error")


@dataclass(frozen=True)
class Generated:
    """n generated crystals, of one or more policies.

    Attributes
    ----------
    table
        One row for each crystal, with the columns of the sample and the relaxation shards.
    cells
        As generated; None where they could not be decoded.
    relaxed
        After relaxation; None where it failed.
    candidates
        What is compared for uniqueness and novelty: the relaxed crystal, else the generated one.
    """

    table: pd.DataFrame
    cells: list[Cell | None]
    relaxed: list[Cell | None]
    candidates: list[MatchingCell | None]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Generated":
        """The crystals of a table that :func:`merge` made, or of some of its rows."""
        cells = cells_of(table)
        has_energy = table["status"].isin(WITH_ENERGY).tolist()
        relaxed = [
            cell if keep else None
            for cell, keep in zip(cells_of(table, prefix="relaxed_"), has_energy, strict=True)
        ]
        best = [after or before for after, before in zip(relaxed, cells, strict=True)]
        candidates = [MatchingCell(one.structure()) if one else None for one in best]
        return cls(table, cells, relaxed, candidates)

    @cached_property
    def structures(self) -> list[Structure | None]:
        """The crystals as generated, for what pymatgen computes."""
        return [None if cell is None else cell.structure() for cell in self.cells]

    def prototypes(self) -> list[str | None]:
        """Space group and Wyckoff letters of each; None where not decoded or without tokens."""
        rows = zip(self.cells, self.table["space_group"], self.table["wyckoff"], strict=True)
        return [
            prototype(group, letters) if one and letters is not None else None
            for one, group, letters in rows
        ]

    def energies(self, name: str) -> NDArray[np.float64]:
        """(n,) ``energy_initial`` or ``energy_final``, eV/atom; NaN where there is none."""
        energies = self.table[name].to_numpy(dtype=np.float64, na_value=np.nan)
        if name == "energy_final":
            energies = np.where(self.table["status"].isin(WITH_ENERGY), energies, np.nan)
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
            raise ValueError(f"the {what} shards have no columns {missing}")
        repeated = table[table.duplicated(KEY)]
        if len(repeated):
            raise ValueError(f"id {repeated['id'].iloc[0]!r} occurs twice in the {what} shards")
    alone = set(_keys(samples)) ^ set(_keys(relaxations))
    if alone:
        raise ValueError(
            f"{len(alone)} crystals are not in both the sample and the relaxation shards, such as "
            f"{min(alone)}: give the shards of the same run and policies"
        )
    return samples[list(SAMPLE_COLUMNS)].merge(
        relaxations[list(RELAX_COLUMNS)], on=KEY, how="left", validate="one_to_one"
    )


def _keys(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["policy"].astype(str), table["id"].astype(str), strict=True))
