"""Criteria for generated crystals as columns: validity, stability, novelty, properties, failure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystalformer_rl.crystal.validity import check_validity
from crystalformer_rl.evaluation.generated import Generated
from crystalformer_rl.evaluation.matching import ReferenceIndex
from crystalformer_rl.potentials.base import Evaluation, Failure
from crystalformer_rl.potentials.relax import WITH_ENERGY
from crystalformer_rl.properties.ensemble import Ensemble
from crystalformer_rl.stability.reference import ReferenceHull

Columns = dict[str, Any]
# Meaning of each stage in the column ``failure``, in the order in which they are checked.
FAILURE_STAGES: Mapping[str, str] = {
    "decode": "The tokens could not be decoded to a crystal, or the row of another generator's "
    "file could not be read.",
    "relax": "The relaxation failed; the reason starts with its status.",
    "hull": "The crystal has no energy above hull; the reason is the hull status.",
    "match": "The crystal could not be compared with others, so it is neither unique nor novel.",
    "properties": "The properties of the relaxed crystal could not be predicted.",
}


def validity_columns(structures: Sequence[Structure | None]) -> Columns:
    """Formula, size and the validity flags of the crystals as generated."""
    found = [check_validity(structure) for structure in structures]
    return {
        "formula": [s.composition.reduced_formula if s else None for s in structures],
        "num_atoms": pd.array([len(s) if s else None for s in structures], dtype="Int64"),
        "decoded": _flags(s is not None for s in structures),
        "single_element": _flags(s is not None and len(s.composition) == 1 for s in structures),
        "min_distance": np.array([v.min_distance for v in found], dtype=np.float64),
        "volume": np.array([v.cell_volume for v in found], dtype=np.float64),
        "density": np.array([v.mass_density for v in found], dtype=np.float64),
        "valid_distance": _flags(v.distance for v in found),
        "valid_volume": _flags(v.volume for v in found),
        "valid_structure": _flags(v.valid_structure for v in found),
        "valid_charge": _flags(v.charge for v in found),
        "valid_density": _flags(v.density for v in found),
        "valid": _flags(v.valid for v in found),
        "invalid_reason": [v.reason for v in found],
    }


def stability_columns(generated: Generated, *, hull: ReferenceHull, stable_below: float) -> Columns:
    """Energy above hull before and after relaxation, eV/atom, and whether it is below a limit."""
    crystals = generated.cells
    before = hull.place(crystals, generated.energies("energy_initial"))
    # Relaxation may change what a correction depends on, such as the bonds of oxygen.
    crystals = [after or first for after, first in zip(generated.relaxed, crystals, strict=True)]
    after = hull.place(crystals, generated.energies("energy_final"))
    return {
        "relax_status": generated.table["status"].to_numpy(),
        "relaxed": (generated.table["status"] == "converged").to_numpy(dtype=bool, na_value=False),
        "e_above_hull_initial": before.e_above_hull,
        "e_above_hull": after.e_above_hull,
        "hull_status": after.status,
        "hull_references": after.references,
        "hull_compounds": after.compounds,
        # A comparison with NaN is False: a crystal without an energy is not stable.
        "stable_initial": before.e_above_hull < stable_below,
        "stable": after.e_above_hull < stable_below,
        "supported": after.supported,
    }


def comparison_columns(
    generated: Generated, *, hull: ReferenceHull, stable_below: float
) -> Columns:
    """Relaxed energy above another hull, eV/atom, and whether it is below a limit."""
    columns = stability_columns(generated, hull=hull, stable_below=stable_below)
    return {
        f"comparison_{name}": columns[name] for name in ("e_above_hull", "hull_status", "stable")
    }


def novelty_columns(
    generated: Generated, *, known: ReferenceIndex, matcher: StructureMatcher
) -> Columns:
    """Novelty with respect to the known crystals, and why a crystal cannot be compared."""
    candidates = generated.candidates
    matched = [known.match(c, matcher) if c is not None else None for c in candidates]
    problems = [known.problem(c) if c is not None else None for c in candidates]
    novel = _flags(
        c is not None and match is None and problem is None
        for c, match, problem in zip(candidates, matched, problems, strict=True)
    )
    return {"novel": novel, "matched_id": matched, "matching_problem": problems}


def property_columns(
    evaluations: Sequence[Evaluation | Failure | None], models: Mapping[str, Ensemble]
) -> Columns:
    """Properties predicted from the features of relaxed crystals; NaN where there are none.

    ``models`` predict ``band_gap`` (eV) and ``dielectric`` (electronic, dimensionless).
    The figure of merit is their product, eV.
    """
    width = len(models["band_gap"].arrays["centre"])
    features = np.full((len(evaluations), width), np.nan)
    for row, evaluation in enumerate(evaluations):
        if isinstance(evaluation, Evaluation) and evaluation.features is not None:
            features[row] = evaluation.features
    columns: Columns = {}
    for name, model in models.items():
        prediction = model.predict(features)
        columns |= {name: prediction.mean, f"{name}_std": prediction.std}
    columns["figure_of_merit"] = columns["band_gap"] * columns["dielectric"]
    return columns


def failures(
    generated: Generated,
    *,
    hull_status: Sequence[str],
    matching_problems: Sequence[str | None],
    property_problems: Sequence[str | None],
) -> list[str | None]:
    """The first of the :data:`FAILURE_STAGES` that failed, as ``stage: reason``, or None."""
    reasons: list[str | None] = []
    rows = zip(
        generated.cells,
        generated.table["decode_error"],
        generated.table["status"],
        generated.table["error"],
        hull_status,
        matching_problems,
        property_problems,
        strict=True,
    )
    for cell, decode_error, status, error, hull, matching, problem in rows:
        if cell is None:
            reasons.append(f"decode: {_text(decode_error) or 'no structure'}")
        elif status not in WITH_ENERGY:
            reasons.append(f"relax: {': '.join(filter(None, (status, _text(error))))}")
        elif hull != "ok":
            reasons.append(f"hull: {hull}")
        elif matching is not None:
            reasons.append(f"match: {matching}")
        elif problem is not None:
            reasons.append(f"properties: {problem}")
        else:
            reasons.append(None)
    return reasons


def _flags(values: Iterable[bool]) -> NDArray[np.bool_]:
    """A Boolean column, even if it is empty."""
    return np.array([*values], dtype=bool)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
