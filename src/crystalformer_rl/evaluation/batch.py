"""Evaluation of one batch of the crystals, independent of the other batches.

Only crystals of the same reduced formula are compared with each other; everything else concerns one
crystal. A batch therefore has all crystals of its formulas, and no result depends on the batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.config.judging import Tolerances
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.evaluation import criteria
from crystalformer_rl.evaluation.displacement import displacement_columns
from crystalformer_rl.evaluation.generated import Generated
from crystalformer_rl.evaluation.judge import judge_columns
from crystalformer_rl.evaluation.matching import (
    FormulaKey,
    ReferenceIndex,
    formula_key,
    matcher_of,
)
from crystalformer_rl.stability.reference import ReferenceHull


@dataclass(frozen=True)
class FormulaBatch:
    """All crystals of some formulas.

    Attributes
    ----------
    rows
        Their row numbers in the whole table.
    table
        Samples with their relaxations (:func:`~.generated.merge`).
    by_judge
        The samples that the judge relaxed, with its relaxations, or None.
    known
        The known crystals of the same formulas: ``id`` and the columns of a structure.
    property_problems
        Why a crystal has no predicted properties, or None.
    """

    rows: NDArray[np.int64]
    table: pd.DataFrame
    by_judge: pd.DataFrame | None
    known: pd.DataFrame
    property_problems: Sequence[str | None]


@dataclass(frozen=True)
class BatchEvaluator:
    """Evaluates batches with the settings and hulls of an :class:`~.evaluator.Evaluator`."""

    settings: EvaluateSettings
    hull: ReferenceHull
    comparison: ReferenceHull | None
    judge: ReferenceHull | None

    def __call__(self, batch: FormulaBatch) -> pd.DataFrame:
        """The columns of a batch, indexed by ``batch.rows``."""
        generated, limit = Generated.of(batch.table), self.settings.stable_below
        stability = criteria.stability_columns(generated, hull=self.hull, stable_below=limit)
        stable, known = stability["stable"], _index(batch.known)
        usual, strict = _matcher(self.settings), _matcher(self.settings.strict)
        matching = criteria.matching_columns(generated, stable=stable, known=known, matcher=usual)
        others = criteria.strict_columns(generated, stable=stable, known=known, matcher=strict)
        if self.comparison is not None:
            others |= criteria.comparison_columns(
                generated, hull=self.comparison, stable_below=limit
            )
        if self.judge is not None:
            others |= judge_columns(
                generated,
                None if batch.by_judge is None else Generated.of(batch.by_judge),
                novel=matching["novel"],
                hull=self.judge,
                stable_below=limit,
                matcher=usual,
            )
        failure = criteria.failures(
            generated,
            hull_status=stability["hull_status"],
            matching_problems=matching.pop("matching_problem"),
            property_problems=batch.property_problems,
        )
        columns = {
            "prototype": pd.array(generated.prototypes(), dtype="str"),
            **criteria.validity_columns(generated.structures),
            **stability,
            **matching,
            **others,
            **displacement_columns(generated),
            "failure": pd.array(failure, dtype="str"),
        }
        return pd.DataFrame(columns, index=batch.rows)


def formula_batches(formulas: Sequence[FormulaKey | None], *, size: int) -> list[NDArray[np.int64]]:
    """Row numbers of each batch, ascending: at most ``size``, unless one formula has more.

    All rows of a formula are in one batch; rows without a formula (None) can be in any. If there
    are no rows, there is one empty batch.
    """
    found: list[list[int]] = [[]]
    alone = [[row] for row, formula in enumerate(formulas) if formula is None]
    for rows in [*by_formula(formulas).values(), *alone]:
        if found[-1] and len(found[-1]) + len(rows) > size:
            found.append([])
        found[-1] += rows
    return [np.sort(np.array(rows, dtype=np.int64)) for rows in found]


def by_formula(formulas: Sequence[FormulaKey | None]) -> dict[FormulaKey, list[int]]:
    """The row numbers of each formula."""
    groups: dict[FormulaKey, list[int]] = {}
    for row, formula in enumerate(formulas):
        if formula is not None:
            groups.setdefault(formula, []).append(row)
    return groups


def formulas_of(numbers: pd.Series) -> list[FormulaKey | None]:
    """The formula of each row; None where there are no atoms."""
    return [None if np.ndim(one) == 0 else formula_key(one) for one in numbers]


def rows_of(groups: Mapping[FormulaKey, list[int]], wanted: set[FormulaKey | None]) -> list[int]:
    """The row numbers of the ``wanted`` formulas, ascending."""
    return sorted(row for formula in wanted if formula for row in groups.get(formula, ()))


def _index(known: pd.DataFrame) -> ReferenceIndex:
    pairs = zip(known["id"], structures_of(known), strict=True)
    structures = {str(name): structure for name, structure in pairs if structure is not None}
    return ReferenceIndex(list(structures.values()), list(structures))


def _matcher(settings: Tolerances) -> StructureMatcher:
    return matcher_of(**{name: getattr(settings, name) for name in Tolerances.model_fields})
