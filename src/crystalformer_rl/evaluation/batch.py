"""The verdict on one part of the crystals: what can be said of it without the other parts.

Only crystals of one reduced formula are ever compared, and everything else is said of a crystal
alone. So the crystals are divided by formula, and no answer depends on the division.
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
from crystalformer_rl.evaluation import judge as second_opinion
from crystalformer_rl.evaluation import verdict
from crystalformer_rl.evaluation.displacement import displacement_columns
from crystalformer_rl.evaluation.generated import Generated
from crystalformer_rl.evaluation.matching import (
    FormulaKey,
    ReferenceIndex,
    formula_key,
    matcher_of,
)
from crystalformer_rl.stability.reference import ReferenceHull


@dataclass(frozen=True)
class Part:
    """Some of the crystals, all of each formula.

    Attributes
    ----------
    rows
        Their places in the whole table.
    table, by_judge
        Samples with their relaxations (:func:`~.generated.merge`), and those of them that the judge
        relaxed with its relaxations, or None.
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
class Bench:
    """Limits, tolerances and hulls, as in :class:`~.evaluator.Evaluator`, to judge parts by."""

    settings: EvaluateSettings
    hull: ReferenceHull
    comparison: ReferenceHull | None
    judge: ReferenceHull | None

    def __call__(self, part: Part) -> pd.DataFrame:
        """The columns of the verdict, indexed by ``part.rows``."""
        generated, limit = Generated.of(part.table), self.settings.stable_below
        stability = verdict.stability_columns(generated, hull=self.hull, stable_below=limit)
        stable, known = stability["stable"], _index(part.known)
        usual, strict = _matcher(self.settings), _matcher(self.settings.strict)
        matching = verdict.matching_columns(generated, stable=stable, known=known, matcher=usual)
        others = verdict.strict_columns(generated, stable=stable, known=known, matcher=strict)
        if self.comparison is not None:
            others |= verdict.comparison_columns(
                generated, hull=self.comparison, stable_below=limit
            )
        if self.judge is not None:
            others |= second_opinion.judge_columns(
                generated,
                None if part.by_judge is None else Generated.of(part.by_judge),
                novel=matching["novel"],
                hull=self.judge,
                stable_below=limit,
                matcher=usual,
            )
        failure = verdict.failures(
            generated,
            hull_status=stability["hull_status"],
            matching_problems=matching.pop("matching_problem"),
            property_problems=part.property_problems,
        )
        columns = {
            "prototype": pd.array(generated.prototypes(), dtype="str"),
            **verdict.validity_columns(generated.structures),
            **stability,
            **matching,
            **others,
            **displacement_columns(generated),
            "failure": pd.array(failure, dtype="str"),
        }
        return pd.DataFrame(columns, index=part.rows)


def divide(formulas: Sequence[FormulaKey | None], *, size: int) -> list[NDArray[np.int64]]:
    """Rows of each part, ascending: at most ``size``, unless one formula has more.

    All rows of a formula are in one part; those without one (None) are in any. There is always a
    part: an empty one, if there are no rows.
    """
    found: list[list[int]] = [[]]
    alone = [[row] for row, formula in enumerate(formulas) if formula is None]
    for rows in [*by_formula(formulas).values(), *alone]:
        if found[-1] and len(found[-1]) + len(rows) > size:
            found.append([])
        found[-1] += rows
    return [np.sort(np.array(rows, dtype=np.int64)) for rows in found]


def by_formula(formulas: Sequence[FormulaKey | None]) -> dict[FormulaKey, list[int]]:
    """The rows of each formula."""
    groups: dict[FormulaKey, list[int]] = {}
    for row, formula in enumerate(formulas):
        if formula is not None:
            groups.setdefault(formula, []).append(row)
    return groups


def formulas_of(numbers: pd.Series) -> list[FormulaKey | None]:
    """The formula of each row, None where there are no atoms."""
    return [None if np.ndim(one) == 0 else formula_key(one) for one in numbers]


def rows_of(groups: Mapping[FormulaKey, list[int]], wanted: set[FormulaKey | None]) -> list[int]:
    """The rows of the ``wanted`` formulas, ascending."""
    return sorted(row for formula in wanted if formula for row in groups.get(formula, ()))


def _index(known: pd.DataFrame) -> ReferenceIndex:
    pairs = zip(known["id"], structures_of(known), strict=True)
    structures = {str(name): structure for name, structure in pairs if structure is not None}
    return ReferenceIndex(list(structures.values()), list(structures))


def _matcher(settings: Tolerances) -> StructureMatcher:
    return matcher_of(**{name: getattr(settings, name) for name in Tolerances.model_fields})
