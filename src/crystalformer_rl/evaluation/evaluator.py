"""The whole verdict on any number of crystals, part by part.

Only crystals of one reduced formula are ever compared, and everything else is said of a crystal
alone. So the crystals are divided by formula into parts of bounded size: no answer depends on the
division, and the memory is that of one part, beside the table itself.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.config.judging import Tolerances
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.evaluation import second_opinion, verdict
from crystalformer_rl.evaluation.generated import KEY, Generated, merge
from crystalformer_rl.evaluation.matching import (
    FormulaKey,
    ReferenceIndex,
    formula_key,
    matcher_of,
)
from crystalformer_rl.potentials.base import Evaluation, Failure
from crystalformer_rl.properties.heads import Heads
from crystalformer_rl.stability.elements import ElementReferences
from crystalformer_rl.stability.hull import Hull

PART = 20_000
INTERNAL = ("wyckoff", "status", "error", "decode_error")

Place = tuple[Hull, ElementReferences]
"""A hull, and the elements that formation energies on it are measured from."""

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
    hull: Place
    known: pd.DataFrame
    features: Callable[[Sequence[Structure | None]], list[Evaluation | Failure | None]]
    heads: Mapping[str, Heads]
    comparison: Place | None = None
    judge: Place | None = None

    def evaluate(
        self, table: pd.DataFrame, opinions: pd.DataFrame | None = None, *, part: int = PART
    ) -> pd.DataFrame:
        """The table of structures: one row per crystal, in order.

        Parameters
        ----------
        table
            Samples with their relaxations, from :func:`~.generated.merge`.
        opinions
            Relaxations by the judge, of all or some of them.
        part
            Crystals at a time, unless more share a formula.

        Raises
        ------
        ValueError
            If an opinion is not on one of the samples, or there are two on one.
        """
        names = pd.MultiIndex.from_frame(table[KEY])
        places = np.full(len(table), -1)
        if opinions is not None:
            given = pd.MultiIndex.from_frame(opinions[KEY])
            if given.has_duplicates or not given.isin(names).all():
                raise ValueError(
                    f"the judge's {len(given)} shard rows repeat a crystal or hold one that is not "
                    f"among the {len(names)} samples: shards of different runs"
                )
            places = given.get_indexer(names)
        of_known = _rows_by_formula(self.known["numbers"])
        found: list[pd.DataFrame] = []
        for rows in parts(_formulas(table["numbers"]), size=part):
            own, seen = table.iloc[rows], rows[places[rows] >= 0]
            relaxed_again = None
            if opinions is not None and len(seen):
                relaxed_again = merge(table.iloc[seen], opinions.iloc[places[seen]])
            columns = self._columns(own, relaxed_again, of_known)
            found.append(pd.DataFrame(columns, index=rows))
            log.info("%d of %d crystals judged", sum(map(len, found)), len(table))
        verdicts = pd.concat(found).sort_index().set_axis(table.index)
        return table.drop(columns=list(INTERNAL)).join(verdicts)

    def _columns(
        self,
        table: pd.DataFrame,
        relaxed_again: pd.DataFrame | None,
        of_known: Mapping[FormulaKey, Sequence[int]],
    ) -> verdict.Columns:
        generated, limit = Generated.of(table), self.settings.stable_below
        hull, references = self.hull
        stability = verdict.stability_columns(
            generated, hull=hull, references=references, stable_below=limit
        )
        known = self._index(generated, of_known)
        tolerances = _tolerances(self.settings)
        usual, strict = matcher_of(**tolerances), matcher_of(**_tolerances(self.settings.strict))
        stable = stability["stable"]
        matching = verdict.matching_columns(generated, stable=stable, known=known, matcher=usual)
        others = verdict.strict_columns(generated, stable=stable, known=known, matcher=strict)
        if self.comparison is not None:
            hull, references = self.comparison
            others |= verdict.comparison_columns(
                generated, hull=hull, references=references, stable_below=limit
            )
        if self.judge is not None:
            hull, references = self.judge
            others |= second_opinion.judge_columns(
                generated,
                None if relaxed_again is None else Generated.of(relaxed_again),
                novel=matching["novel"],
                hull=hull,
                references=references,
                stable_below=limit,
                matcher=usual,
            )
        evaluations = self.features(generated.relaxed)
        failure = verdict.failures(
            generated,
            hull_status=stability["hull_status"],
            matching_problems=matching.pop("matching_problem"),
            evaluations=evaluations,
        )
        return {
            "prototype": pd.array(generated.prototypes(), dtype="str"),
            **verdict.validity_columns(generated.structures),
            **stability,
            **matching,
            **others,
            "rmsd": verdict.displacements(generated, **tolerances),
            **verdict.property_columns(evaluations, self.heads),
            "failure": pd.array(failure, dtype="str"),
        }

    def _index(
        self, generated: Generated, of_known: Mapping[FormulaKey, Sequence[int]]
    ) -> ReferenceIndex:
        """The known crystals that share a formula with a generated one."""
        wanted = dict.fromkeys(c.formula for c in generated.candidates if c is not None)
        rows = sorted(row for formula in wanted for row in of_known.get(formula, ()))
        same = self.known.iloc[rows]
        pairs = zip(same["id"], structures_of(same), strict=True)
        known = {str(name): structure for name, structure in pairs if structure is not None}
        return ReferenceIndex(list(known.values()), list(known))


def parts(formulas: Sequence[FormulaKey | None], *, size: int) -> list[NDArray[np.int64]]:
    """Rows of each part, ascending: at most ``size``, unless one formula has more.

    All rows of a formula are in one part; those without one (None) are in any.
    """
    found: list[list[int]] = [[]]
    alone = [[row] for row, formula in enumerate(formulas) if formula is None]
    for rows in [*_groups(formulas).values(), *alone]:
        if found[-1] and len(found[-1]) + len(rows) > size:
            found.append([])
        found[-1] += rows
    return [np.sort(np.array(rows, dtype=np.int64)) for rows in found if rows]


def _groups(formulas: Sequence[FormulaKey | None]) -> dict[FormulaKey, list[int]]:
    groups: dict[FormulaKey, list[int]] = {}
    for row, formula in enumerate(formulas):
        if formula is not None:
            groups.setdefault(formula, []).append(row)
    return groups


def _formulas(numbers: pd.Series) -> list[FormulaKey | None]:
    return [None if np.ndim(one) == 0 else formula_key(one) for one in numbers]


def _rows_by_formula(numbers: pd.Series) -> dict[FormulaKey, list[int]]:
    return _groups(_formulas(numbers))


def _tolerances(settings: Tolerances) -> dict[str, float]:
    return {name: getattr(settings, name) for name in Tolerances.model_fields}
