"""A second verdict on the same crystals, by a potential that no reward has seen.

The judge relaxes the crystals itself, all or the first of each policy, and has elements and a hull
of its own. What is unique and new is decided on the crystals of the first relaxation, so that the
two verdicts differ in stability alone.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalformer_rl.evaluation.generated import KEY, Generated
from crystalformer_rl.evaluation.intervals import fraction
from crystalformer_rl.evaluation.matching import unique_flags
from crystalformer_rl.evaluation.verdict import Columns, stability_columns
from crystalformer_rl.stability.reference import ReferenceHull

TYPES = {
    "judge_potential": "str", "judge_status": "str", "judge_energy": "float64",
    "judge_e_above_hull": "float64", "judge_hull_status": "str", "judge_stable": "boolean",
    "judge_supported": "boolean", "sun_judge": "boolean",
}  # fmt: skip


def judge_columns(
    generated: Generated,
    judged: Generated | None,
    *,
    novel: NDArray[np.bool_],
    hull: ReferenceHull,
    stable_below: float,
    matcher: StructureMatcher,
) -> Columns:
    """The judge's energies, eV/atom, what it calls stable, and S.U.N. by it; null if not judged.

    Parameters
    ----------
    generated
        All n samples with the relaxations of the first potential.
    judged
        Those that the judge saw, with its relaxations; None if it saw none.
    novel
        (n,) what is new by the first verdict.
    hull
        The judge's own.
    """
    columns = pd.DataFrame(columns=list(TYPES))
    if judged is not None:
        columns = _of_judged(
            generated,
            judged,
            novel=novel,
            stability=stability_columns(judged, hull=hull, stable_below=stable_below),
            matcher=matcher,
        )
    columns = columns.astype(TYPES).reindex(range(len(generated.table)))
    return {str(name): columns[name].array for name in columns}


def _of_judged(
    generated: Generated,
    judged: Generated,
    *,
    novel: NDArray[np.bool_],
    stability: Columns,
    matcher: StructureMatcher,
) -> pd.DataFrame:
    """The columns of those that were judged, indexed by their places among the generated."""
    names = pd.MultiIndex.from_frame(generated.table[KEY])
    places = names.get_indexer(pd.MultiIndex.from_frame(judged.table[KEY]))
    stable = np.zeros(len(names), dtype=bool)
    stable[places] = stability["stable"]
    first = np.zeros(len(names), dtype=bool)
    for rows in generated.table.groupby("policy", sort=False).indices.values():
        own = [generated.candidates[row] if stable[row] else None for row in rows]
        first[rows] = unique_flags(own, matcher).flags
    return pd.DataFrame(
        {
            "judge_potential": judged.table["potential"].to_numpy(),
            "judge_status": stability["relax_status"],
            "judge_energy": judged.energies("energy_final"),
            "judge_e_above_hull": stability["e_above_hull"],
            "judge_hull_status": stability["hull_status"],
            "judge_stable": stable[places],
            "judge_supported": stability["supported"],
            "sun_judge": (first & novel)[places],
        },
        index=places,
    )


def agreement(rows: pd.DataFrame) -> dict[str, Any]:
    """How the two verdicts on stability compare, ready for JSON.

    Counts are over all rows; ``agree`` is over those to which both potentials give an energy above
    hull (``n``), with Wilson's interval: failures would agree for no merit of either.
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
