"""Columns of the judge: a second potential, which no reward has seen.

The judge relaxes the same samples, all or the first of each policy, from the sample or from where
the first potential left it, and places them on the hull of its energies. Uniqueness and novelty
are those of the first relaxation, so that the results of the two potentials differ only in
stability.
"""

from typing import Any

import pandas as pd

from crystalformer_rl.evaluation.criteria import Columns, stability_columns
from crystalformer_rl.evaluation.generated import Generated
from crystalformer_rl.evaluation.intervals import fraction
from crystalformer_rl.stability.reference import ReferenceHull


def judge_columns(by_judge: Generated, *, hull: ReferenceHull, stable_below: float) -> Columns:
    """Energies (eV/atom) and stability by the judge.

    Parameters
    ----------
    by_judge
        The samples with the relaxations of the judge.
    hull
        The hull of the judge.
    """
    stability = stability_columns(by_judge, hull=hull, stable_below=stable_below)
    return {
        "judge_potential": by_judge.table["potential"].to_numpy(),
        "judge_status": stability["relax_status"],
        "judge_energy": by_judge.energies("energy_final"),
        "judge_e_above_hull_initial": stability["e_above_hull_initial"],
        "judge_e_above_hull": stability["e_above_hull"],
        "judge_hull_status": stability["hull_status"],
        # Flags that are null for shards that the judge does not see.
        **{
            f"judge_{name}": pd.array(stability[name], dtype="boolean")
            for name in ("stable_initial", "stable", "supported")
        },
    }


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
