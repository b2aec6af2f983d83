"""Uniqueness and S.U.N.: the columns for which the crystals of a whole run are compared.

Only crystals of the same reduced formula are compared with each other. A batch therefore has all
crystals of its formulas, and no result depends on the batches.

Memory: the table and, in each process, one batch.
"""

import logging
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.crystal.structures import COLUMNS
from crystalformer_rl.evaluation.generated import KEY, Generated
from crystalformer_rl.evaluation.matching import (
    FormulaKey,
    MatchingCell,
    formulas_of,
    matcher_for,
    unique_flags,
)
from crystalformer_rl.jobs.pool import spread

BATCH_SIZE = 10_000
# Fewer crystals than this are not worth a process, which takes seconds to start.
WORTH_A_PROCESS = 2_000
NEEDED = (
    *KEY, "relax_status", "stable", "novel", "novel_strict",
    *COLUMNS, *(f"relaxed_{name}" for name in COLUMNS),
)  # fmt: skip
OF_THE_JUDGE = ("judge_status", "judge_stable")

log = logging.getLogger(__name__)


def find_unique(
    table: pd.DataFrame,
    settings: EvaluateSettings,
    *,
    processes: int = 1,
    batch_size: int = BATCH_SIZE,
) -> pd.DataFrame:
    """The columns of :func:`uniqueness_columns` for a whole run, with the index of ``table``.

    Parameters
    ----------
    table
        The parts of all policies, one after the other, with a unique index.
    settings
        The tolerances.
    processes
        Maximum number of processes. The results do not depend on it.
    batch_size
        Crystals of a batch, unless more share a formula. The results do not depend on it.
    """
    needed = table[[*NEEDED, *(name for name in OF_THE_JUDGE if name in table)]]
    processes = max(1, min(processes, len(table) // WORTH_A_PROCESS))
    size = max(1, min(batch_size, -(-len(table) // processes)))
    batches = (needed.iloc[rows] for rows in formula_batches(formulas_of(table["numbers"]), size))
    compare = partial(uniqueness_columns, settings=settings)
    found: list[pd.DataFrame] = []
    for columns in spread(compare, batches, processes=processes, window=2 * processes):
        found.append(columns)
        log.info("%d of %d crystals compared", sum(map(len, found)), len(table))
    return pd.concat(found).reindex(table.index)


def uniqueness_columns(batch: pd.DataFrame, *, settings: EvaluateSettings) -> pd.DataFrame:
    """Uniqueness within each policy, and S.U.N.; ``…_strict`` with the stricter tolerances.

    Parameters
    ----------
    batch
        All rows of some formulas, in the order in which a crystal can be the first of its kind,
        with the columns :data:`NEEDED` and, if there is a judge, :data:`OF_THE_JUDGE`.
    """
    candidates = Generated.of(batch.rename(columns={"relax_status": "status"})).candidates
    everyone, stable = np.ones(len(batch), dtype=bool), batch["stable"].to_numpy(dtype=bool)
    own = np.arange(len(batch))
    columns = pd.DataFrame(index=batch.index)
    for suffix, tolerances in (("", settings), ("_strict", settings.strict)):
        matcher = matcher_for(tolerances)
        representative = _representatives(batch, candidates, everyone, matcher)
        stable_unique = _representatives(batch, candidates, stable, matcher) == own
        columns[f"unique{suffix}"] = representative == own
        if not suffix:
            ids = batch["id"].reset_index(drop=True)
            columns["representative"] = ids.reindex(representative).array
        columns[f"stable_unique{suffix}"] = stable_unique
        columns[f"sun{suffix}"] = stable_unique & batch[f"novel{suffix}"].to_numpy(dtype=bool)
    if "judge_stable" in batch:
        stable = batch["judge_stable"].to_numpy(dtype=bool, na_value=False)
        first = _representatives(batch, candidates, stable, matcher_for(settings)) == own
        sun = pd.array(first & batch["novel"].to_numpy(dtype=bool), dtype="boolean")
        sun[batch["judge_status"].isna().to_numpy()] = pd.NA
        columns["sun_judge"] = sun
    return columns


def formula_batches(formulas: Sequence[FormulaKey | None], size: int) -> list[NDArray[np.int64]]:
    """Row numbers of each batch, ascending: at most ``size``, unless one formula has more.

    All rows of a formula are in one batch; rows without a formula (None) can be in any. If there
    are no rows, there is one empty batch.
    """
    groups: dict[FormulaKey | int, list[int]] = {}
    for row, formula in enumerate(formulas):
        groups.setdefault(row if formula is None else formula, []).append(row)
    found: list[list[int]] = [[]]
    for rows in groups.values():
        if found[-1] and len(found[-1]) + len(rows) > size:
            found.append([])
        found[-1] += rows
    return [np.sort(np.array(rows, dtype=np.int64)) for rows in found]


def _representatives(
    batch: pd.DataFrame,
    candidates: Sequence[MatchingCell | None],
    among: NDArray[np.bool_],
    matcher: StructureMatcher,
) -> NDArray[np.int64]:
    """(n,) row of the first crystal of the same kind and policy, of those ``among``; -1 if none."""
    representative = np.full(len(batch), -1)
    for rows in batch.groupby("policy", sort=False).indices.values():
        own = [candidates[row] if among[row] else None for row in rows]
        found = unique_flags(own, matcher).representative
        representative[rows] = np.where(found < 0, -1, rows[found])
    return representative
