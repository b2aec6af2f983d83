"""The whole verdict on any number of crystals.

Memory is that of the table and of one part of the crystals per process (part.py).
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
    Bench,
    Part,
    by_formula,
    divide,
    formulas_of,
    rows_of,
)
from crystalformer_rl.evaluation.generated import JUDGED, KEY, merge
from crystalformer_rl.evaluation.verdict import property_columns
from crystalformer_rl.jobs.pool import spread
from crystalformer_rl.potentials.base import Evaluation, Failure
from crystalformer_rl.properties.heads import Heads
from crystalformer_rl.stability.reference import ReferenceHull

PART = 10_000
# A process takes seconds to start, a crystal some hundredths.
WORTH_A_PROCESS = 500
# What only the stages before need.
INTERNAL = ("wyckoff", "status", "error", "decode_error")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluator:
    """What a verdict needs beside the crystals.

    Attributes
    ----------
    settings
        Limits and tolerances.
    hull
        That of the potential that relaxed.
    known
        Crystals of the dataset, all splits: ``id`` and the columns of a structure.
    features
        Evaluates crystals for :attr:`heads`.
    heads
        Those of ``band_gap`` (eV) and ``dielectric`` (electronic, dimensionless).
    comparison, judge
        Two more hulls: one beside the first, and that of a second potential; or None.
    """

    settings: EvaluateSettings
    hull: ReferenceHull
    known: pd.DataFrame
    features: Callable[[Sequence[Structure | None]], list[Evaluation | Failure | None]]
    heads: Mapping[str, Heads]
    comparison: ReferenceHull | None = None
    judge: ReferenceHull | None = None

    def evaluate(
        self,
        table: pd.DataFrame,
        opinions: pd.DataFrame | None = None,
        *,
        processes: int = 1,
        part: int = PART,
    ) -> pd.DataFrame:
        """The table of structures: one row per crystal, in order.

        Parameters
        ----------
        table
            Samples with their relaxations, from :func:`~.generated.merge`.
        opinions
            Relaxations by the judge, of all or some of them.
        processes
            At most so many work; the answers do not depend on it.
        part
            Crystals at a time, unless more share a formula; nor on this.

        Raises
        ------
        ValueError
            If an opinion is not on one of the samples, or there are two on one.
        """
        properties = self._properties(table, part)
        bench = Bench(self.settings, self.hull, self.comparison, self.judge)
        processes = max(1, min(processes, len(table) // WORTH_A_PROCESS))
        size = max(1, min(part, -(-len(table) // processes)))
        cases = self._parts(table, opinions, properties.pop("problem").tolist(), size)
        found: list[pd.DataFrame] = []
        for columns in spread(bench, cases, processes=processes, window=2 * processes):
            found.append(columns)
            log.info("%d of %d crystals judged", sum(map(len, found)), len(table))
        verdicts = pd.concat(found).sort_index().set_axis(table.index)
        failure = verdicts.pop("failure")
        judged = table.drop(columns=list(INTERNAL)).join([verdicts, properties])
        return judged.assign(failure=failure)

    def _parts(
        self,
        table: pd.DataFrame,
        opinions: pd.DataFrame | None,
        problems: Sequence[str | None],
        size: int,
    ) -> Iterator[Part]:
        places = _places(table, opinions)
        formulas = formulas_of(table["numbers"])
        of_known = by_formula(formulas_of(self.known["numbers"]))
        for rows in divide(formulas, size=size):
            by_judge, seen = None, rows[places[rows] >= 0]
            if opinions is not None and len(seen):
                by_judge = merge(table.iloc[seen], opinions.iloc[places[seen]])
            wanted = {formulas[row] for row in rows}
            yield Part(
                rows,
                table.iloc[rows],
                by_judge,
                self.known.iloc[rows_of(of_known, wanted)],
                [problems[row] for row in rows],
            )

    def _properties(self, table: pd.DataFrame, size: int) -> pd.DataFrame:
        """Predicted properties of the relaxed crystals, and in ``problem`` why there are none."""
        found: list[pd.DataFrame] = []
        # Without crystals there are columns all the same.
        for start in range(0, max(1, len(table)), size):
            rows = table.iloc[start : start + size]
            crystals = [
                crystal if status in JUDGED else None
                for crystal, status in zip(
                    structures_of(rows, prefix="relaxed_"), rows["status"], strict=True
                )
            ]
            answers = self.features(crystals)
            problems = [
                f"{answer.status}: {answer.reason}" if isinstance(answer, Failure) else None
                for answer in answers
            ]
            columns = property_columns(answers, self.heads)
            columns["problem"] = problems
            found.append(pd.DataFrame(columns, index=rows.index))
        return pd.concat(found)


def _places(table: pd.DataFrame, opinions: pd.DataFrame | None) -> NDArray[np.int64]:
    """Of each sample its row among the judge's opinions, -1 where it has none."""
    if opinions is None:
        return np.full(len(table), -1)
    names, given = (pd.MultiIndex.from_frame(frame[KEY]) for frame in (table, opinions))
    if given.has_duplicates or not given.isin(names).all():
        raise ValueError(
            f"the judge's {len(given)} shard rows repeat a crystal or hold one that is not among "
            f"the {len(names)} samples: shards of different runs"
        )
    return np.asarray(given.get_indexer(names), dtype=np.int64)
