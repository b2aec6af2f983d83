"""Evaluation of any number of crystals, in batches and processes.

Memory: the table and, in each process, one batch of crystals (batch.py).
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.evaluation.batch import (
    BatchEvaluator,
    FormulaBatch,
    by_formula,
    formula_batches,
    formulas_of,
    rows_of,
)
from crystalformer_rl.evaluation.criteria import property_columns
from crystalformer_rl.evaluation.generated import KEY, merge
from crystalformer_rl.jobs.pool import spread
from crystalformer_rl.potentials.base import Evaluation, Failure
from crystalformer_rl.potentials.relax import WITH_ENERGY
from crystalformer_rl.properties.ensemble import Ensemble
from crystalformer_rl.stability.reference import ReferenceHull

BATCH_SIZE = 10_000
# Fewer crystals than this are not worth a process: it takes seconds to start, a crystal some
# hundredths of a second.
WORTH_A_PROCESS = 500
# Columns of the shards that are not in the table of structures.
INTERNAL = ("wyckoff", "status", "error", "decode_error")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluator:
    """What an evaluation needs in addition to the crystals.

    Attributes
    ----------
    settings
        Limits and tolerances.
    hull
        The hull of the potential that relaxed the crystals.
    known
        Crystals of the dataset, all splits: ``id`` and the columns of a structure.
    features
        Evaluates crystals with a potential, for the property models.
    property_models
        Models of ``band_gap`` (eV) and ``dielectric`` (electronic, dimensionless).
    comparison
        A second hull for the same energies, or None.
    judge
        The hull of the judge, or None.
    """

    settings: EvaluateSettings
    hull: ReferenceHull
    known: pd.DataFrame
    features: Callable[[Sequence[Structure | None]], list[Evaluation | Failure | None]]
    property_models: Mapping[str, Ensemble]
    comparison: ReferenceHull | None = None
    judge: ReferenceHull | None = None

    def evaluate(
        self,
        table: pd.DataFrame,
        by_judge: pd.DataFrame | None = None,
        *,
        processes: int = 1,
        batch_size: int = BATCH_SIZE,
    ) -> pd.DataFrame:
        """The table of structures: one row for each crystal, in the order of ``table``.

        Parameters
        ----------
        table
            Samples with their relaxations, from :func:`~.generated.merge`.
        by_judge
            Relaxations by the judge, of all or some of the samples.
        processes
            Maximum number of processes. The results do not depend on it.
        batch_size
            Crystals of a batch, unless more share a formula. The results do not depend on it.

        Raises
        ------
        ValueError
            If the judge relaxed a crystal that is not among the samples, or one of them twice.
        """
        properties = self._properties(table, batch_size)
        evaluate = BatchEvaluator(self.settings, self.hull, self.comparison, self.judge)
        processes = max(1, min(processes, len(table) // WORTH_A_PROCESS))
        size = max(1, min(batch_size, -(-len(table) // processes)))
        batches = self._batches(table, by_judge, properties.pop("problem").tolist(), size)
        found: list[pd.DataFrame] = []
        for columns in spread(evaluate, batches, processes=processes, window=2 * processes):
            found.append(columns)
            log.info("%d of %d crystals evaluated", sum(map(len, found)), len(table))
        results = pd.concat(found).sort_index().set_axis(table.index)
        failure = results.pop("failure")
        evaluated = table.drop(columns=list(INTERNAL)).join([results, properties])
        return evaluated.assign(failure=failure)

    def _batches(
        self,
        table: pd.DataFrame,
        by_judge: pd.DataFrame | None,
        problems: Sequence[str | None],
        size: int,
    ) -> Iterator[FormulaBatch]:
        positions = _positions(table, by_judge)
        formulas = formulas_of(table["numbers"])
        of_known = by_formula(formulas_of(self.known["numbers"]))
        for rows in formula_batches(formulas, size=size):
            relaxed_by_judge, seen = None, rows[positions[rows] >= 0]
            if by_judge is not None and len(seen):
                relaxed_by_judge = merge(table.iloc[seen], by_judge.iloc[positions[seen]])
            wanted = {formulas[row] for row in rows}
            yield FormulaBatch(
                rows,
                table.iloc[rows],
                relaxed_by_judge,
                self.known.iloc[rows_of(of_known, wanted)],
                [problems[row] for row in rows],
            )

    def _properties(self, table: pd.DataFrame, size: int) -> pd.DataFrame:
        """Predicted properties of the relaxed crystals; ``problem`` says why a crystal has none."""
        found: list[pd.DataFrame] = []
        # An empty table must have the columns, too.
        for start in range(0, max(1, len(table)), size):
            rows = table.iloc[start : start + size]
            crystals = [
                crystal if status in WITH_ENERGY else None
                for crystal, status in zip(
                    structures_of(rows, prefix="relaxed_"), rows["status"], strict=True
                )
            ]
            answers = self.features(crystals)
            problems = [
                f"{answer.status}: {answer.reason}" if isinstance(answer, Failure) else None
                for answer in answers
            ]
            columns = property_columns(answers, self.property_models)
            columns["problem"] = problems
            found.append(pd.DataFrame(columns, index=rows.index))
        return pd.concat(found)


def _positions(table: pd.DataFrame, by_judge: pd.DataFrame | None) -> NDArray[np.int64]:
    """Row number of each sample among the judge's relaxations, -1 where it has none."""
    if by_judge is None:
        return np.full(len(table), -1)
    names, given = (pd.MultiIndex.from_frame(frame[KEY]) for frame in (table, by_judge))
    if given.has_duplicates or not given.isin(names).all():
        raise ValueError(
            f"the {len(given)} rows of the judge's shards repeat a crystal or have one that is not "
            f"among the {len(names)} samples: give the shards of the same run"
        )
    return np.asarray(given.get_indexer(names), dtype=np.int64)
