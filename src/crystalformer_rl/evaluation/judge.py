"""Columns of the judge: a second potential, which no reward has seen.

The judge relaxes the same samples, all or the first of each policy, from the sample or from where
the first potential left it, and places them on the hull of its own energies. Uniqueness and novelty
are those of the first relaxation, so that the results of the two potentials differ only in
stability.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalformer_rl.evaluation.criteria import Columns, stability_columns
from crystalformer_rl.evaluation.generated import KEY, Generated
from crystalformer_rl.evaluation.intervals import fraction
from crystalformer_rl.evaluation.matching import unique_flags
from crystalformer_rl.stability.reference import ReferenceHull

TYPES = {
    "judge_potential": "str", "judge_status": "str", "judge_energy": "float64",
    "judge_e_above_hull_initial": "float64", "judge_e_above_hull": "float64",
    "judge_hull_status": "str", "judge_stable_initial": "boolean", "judge_stable": "boolean",
    "judge_supported": "boolean", "sun_judge": "boolean",
}  # fmt: skip


def judge_columns(
    generated: Generated,
    by_judge: Generated | None,
    *,
    novel: NDArray[np.bool_],
    hull: ReferenceHull,
    stable_below: float,
    matcher: StructureMatcher,
) -> Columns:
    """Energies (eV/atom), stability and S.U.N. by the judge; null where it did not relax a sample.

    Parameters
    ----------
    generated
        All n samples with the relaxations of the first potential.
    by_judge
        The samples that the judge relaxed, with its relaxations; None if there are none.
    novel
        (n,) novelty of the crystals of the first relaxation.
    hull
        The hull of the judge.
    """
    columns = pd.DataFrame(columns=list(TYPES))
    if by_judge is not None:
        columns = _columns(
            generated,
            by_judge,
            novel=novel,
            stability=stability_columns(by_judge, hull=hull, stable_below=stable_below),
            matcher=matcher,
        )
    columns = columns.astype(TYPES).reindex(range(len(generated.table)))
    return {str(name): columns[name].array for name in columns}


def _columns(
    generated: Generated,
    by_judge: Generated,
    *,
    novel: NDArray[np.bool_],
    stability: Columns,
    matcher: StructureMatcher,
) -> pd.DataFrame:
    """The columns of the samples that the judge relaxed, indexed by their row in ``generated``."""
    names = pd.MultiIndex.from_frame(generated.table[KEY])
    rows_by_judge = names.get_indexer(pd.MultiIndex.from_frame(by_judge.table[KEY]))
    stable = np.zeros(len(names), dtype=bool)
    stable[rows_by_judge] = stability["stable"]
    first = np.zeros(len(names), dtype=bool)
    for rows in generated.table.groupby("policy", sort=False).indices.values():
        own = [generated.candidates[row] if stable[row] else None for row in rows]
        first[rows] = unique_flags(own, matcher).flags
    return pd.DataFrame(
        {
            "judge_potential": by_judge.table["potential"].to_numpy(),
            "judge_status": stability["relax_status"],
            "judge_energy": by_judge.energies("energy_final"),
            "judge_e_above_hull_initial": stability["e_above_hull_initial"],
            "judge_e_above_hull": stability["e_above_hull"],
            "judge_hull_status": stability["hull_status"],
            "judge_stable_initial": stability["stable_initial"],
            "judge_stable": stable[rows_by_judge],
            "judge_supported": stability["supported"],
            "sun_judge": (first & novel)[rows_by_judge],
        },
        index=rows_by_judge,
    )


def agreement(rows: pd.DataFrame) -> dict[str, Any]:
    """How the stability by the two potentials compares, ready for JSON.

    Counts are over all rows. ``agree`` is over the ``n`` rows with an energy above both hulls, with
    Wilson's interval; failures would agree trivially.
    """
    first, second = (rows[name].to_numpy(dtype=bool) for name in ("stable", "judge_stable"))
    known = rows["e_above_hull"].notna().to_numpy() & rows["judge_e_above_hull"].notna().to_numpy()
    same = int(((first == second) & known).sum())
    return {
        "both_stable": int((first & second).sum()),
        "only_first_stable": int((first & ~second).sum()),
        "only_judge_stable": int((~first & second).sum()),
        "neither_stable": int((~first & ~second).sum()),
        "agree": fraction(same, int(known.sum())),
    }
