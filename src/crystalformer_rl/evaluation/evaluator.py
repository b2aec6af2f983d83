"""The evaluation of a crystal that does not depend on the others of the run: all but uniqueness."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.evaluation import criteria
from crystalformer_rl.evaluation.columns import COLUMNS
from crystalformer_rl.evaluation.displacement import displacement_columns
from crystalformer_rl.evaluation.generated import Generated
from crystalformer_rl.evaluation.judge import judge_columns
from crystalformer_rl.evaluation.known import nearest_columns, symmetry_columns
from crystalformer_rl.evaluation.matching import (
    ReferenceIndex,
    formula_key,
    formulas_of,
    matcher_for,
)
from crystalformer_rl.potentials.base import Failure, Potential, evaluate_each
from crystalformer_rl.properties.ensemble import Ensemble
from crystalformer_rl.stability.reference import ReferenceHull


@dataclass(frozen=True)
class Evaluator:
    """The data that an evaluation needs in addition to the crystals.

    Attributes
    ----------
    settings
        Limits and tolerances.
    hull
        The hull of the potential that relaxed the crystals.
    known
        Crystals of the dataset, all splits; those of the formulas to evaluate are enough.
    described
        All crystals of the dataset as the stage ``known`` describes them.
    features
        The potential whose features the property models read.
    property_models
        Models of ``band_gap`` (eV) and ``dielectric`` (electronic, dimensionless).
    comparison
        A second hull for the same energies, or None.
    judge
        The hull of the judge, or None.
    """

    settings: EvaluateSettings
    hull: ReferenceHull
    known: ReferenceIndex
    described: pd.DataFrame
    features: Potential
    property_models: Mapping[str, Ensemble]
    comparison: ReferenceHull | None = None
    judge: ReferenceHull | None = None

    def evaluate(self, table: pd.DataFrame, by_judge: pd.DataFrame | None = None) -> pd.DataFrame:
        """The columns of the table of structures that concern one crystal, a row for each.

        Parameters
        ----------
        table
            Samples with their relaxations, from :func:`~.generated.merge`.
        by_judge
            The same samples with the judge's relaxations, if there is a judge.
        """
        generated, limit = Generated.of(table), self.settings.stable_below
        usual, strict = matcher_for(self.settings), matcher_for(self.settings.strict)
        stability = criteria.stability_columns(generated, hull=self.hull, stable_below=limit)
        novelty = criteria.novelty_columns(generated, known=self.known, matcher=usual)
        stricter = criteria.novelty_columns(generated, known=self.known, matcher=strict)
        others: criteria.Columns = {"novel_strict": stricter["novel"]}
        if self.comparison is not None:
            others |= criteria.comparison_columns(
                generated, hull=self.comparison, stable_below=limit
            )
        if self.judge is not None and by_judge is not None:
            others |= judge_columns(Generated.of(by_judge), hull=self.judge, stable_below=limit)
        answers = evaluate_each(self.features, generated.relaxed)
        failure = criteria.failures(
            generated,
            hull_status=stability["hull_status"],
            matching_problems=novelty.pop("matching_problem"),
            property_problems=[
                f"{answer.status}: {answer.reason}" if isinstance(answer, Failure) else None
                for answer in answers
            ],
        )
        columns = {
            "prototype": generated.prototypes(),
            **criteria.validity_columns(generated.structures),
            **stability,
            **novelty,
            **others,
            **symmetry_columns(generated.relaxed, table["space_group"]),
            **nearest_columns(generated.relaxed, self.described),
            **displacement_columns(generated),
            **criteria.property_columns(answers, self.property_models),
            "failure": failure,
        }
        words = [one.name for one in COLUMNS if one.type == "text" and one.name in columns]
        return pd.DataFrame(columns, index=table.index).astype(dict.fromkeys(words, "str"))


def known_among(known: pd.DataFrame, table: pd.DataFrame) -> ReferenceIndex:
    """The known crystals that have a formula of ``table``: no others can match.

    Parameters
    ----------
    known
        ``id`` and the columns of a structure.
    table
        Crystals to evaluate; column ``numbers``.
    """
    wanted = {formula for formula in formulas_of(table["numbers"]) if formula is not None}
    # A dataset may have millions of crystals. To compare elements first takes a tenth of the time.
    elements = {frozenset(number for number, _ in formula) for formula in wanted}
    rows = [
        row
        for row, numbers in enumerate(known["numbers"])
        if frozenset(np.ravel(numbers).tolist()) in elements and formula_key(numbers) in wanted
    ]
    found = known.iloc[rows]
    pairs = zip(found["id"], structures_of(found), strict=True)
    structures = {str(name): structure for name, structure in pairs if structure is not None}
    return ReferenceIndex(list(structures.values()), list(structures))
