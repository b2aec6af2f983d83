"""Stable, unique, novel: the summary of each policy, from the table of structures.

Everything is computed from the table, except coverage, which also needs the training set. A row is
a sampled crystal. The flags of a crystal that failed are False, so that it counts in every
denominator, which is always the number of sampled crystals.

S.U.N. follows the published order (CrystalFormer-RL, MatterGen): stable; of those, the unique ones;
of those, the novel ones. It is ``stable_unique`` and ``novel``. ``unique`` is different: the first
of its kind among *all* decoded crystals, whereas a crystal that is ``stable_unique`` may repeat an
unstable one. The flags ``…_strict`` are the same with stricter tolerances of the matcher. S.U.N.,
supported, is the part of S.U.N. that does not depend on compounds missing from the hull
(``HullResult.supported``).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crystalformer_rl.evaluation import columns
from crystalformer_rl.evaluation.columns import COLUMNS, COMBINED, HULL, JUDGE
from crystalformer_rl.evaluation.distributions import distances
from crystalformer_rl.evaluation.diversity import TrainingSet, diversity
from crystalformer_rl.evaluation.intervals import (
    CONFIDENCE,
    fraction,
    mean_interval,
    weighted_fraction,
)
from crystalformer_rl.evaluation.judge import agreement
from crystalformer_rl.stability.hull import ARTEFACT_BELOW

DEFINITIONS = {
    **{column.name: column.meaning for column in COLUMNS if column.summary},
    **{combined.name: combined.meaning for combined in COMBINED},
    "denominator": "every fraction is of all sampled crystals, failures included",
    "interval": f"{CONFIDENCE:.0%}: Wilson score for fractions, Student's t for means",
    "means": "over all finite values, neither clipped nor trimmed; n is the number of crystals "
    "with a value, without the number of crystals that have none",
    "sun_on_elements_alone": "S.U.N. crystals in whose chemical system the hull knows no compound: "
    "stable there means a formation energy below the limit",
    "diversity": "of the decoded crystals: distinct kinds, exp(entropy) as their effective number, "
    "and which of the training set's kinds occur, with the fraction expected of the same number of "
    "crystals drawn from the training set; a prototype is space group and Wyckoff letters as "
    "generated",
    "distances": "from the distributions of the dataset: Wasserstein distances of the mass density "
    "(g/cm³) and of the number of elements of the valid crystals (CDVAE); χ² of the frequencies of "
    "space groups, as generated and after relaxation (WyFormer); null where there is no crystal",
    "judge": "by a second potential on its own hull, which no reward has seen; null without one. "
    "All fractions in it are over the crystals that the judge evaluated, the first ones of each "
    "policy. agreement: stable by both potentials, by one or by neither; agree: of the n crystals "
    "that have an energy above both hulls",
    "weighted": "mean of the fractions of the space groups, each with the weight of the group in "
    "the training set; covered: the fraction of the training set that is in the sampled groups; "
    "null without a training set",
    "comparison": "by the hull comparison_hull, from energies in files; null without one",
    "below_hull_artefacts": f"crystals below {ARTEFACT_BELOW} eV/atom",
}

NEEDED = (
    "policy", "space_group", "prototype", "formula", "hull_compounds",
    *(column.name for column in COLUMNS if column.summary and not column.only_with),
)  # fmt: skip
"""The columns that a summary is made from."""

BESIDE_JUDGE = ("stable_initial", "stable", "sun", "sun_supported")
"""Flags by the first potential that are given for the judged crystals too."""

BY_GROUP = ("stable", "sun", "sun_supported")
"""Flags that are given for each space group, and with the weights of the training set."""


def summarise(
    table: pd.DataFrame,
    *,
    policies: Sequence[str] | None = None,
    training: TrainingSet | None = None,
    known: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Counts, fractions and means of each policy, ready for JSON (no NaN).

    Parameters
    ----------
    table
        The evaluation table: the columns of :data:`~.columns.COLUMNS`, without those of the judge
        or of the comparison hull if there is none.
    policies
        Their names, in order; those of the table unless given. A policy without a row has 0
        crystals, and its fractions are null.
    training
        The training set, for coverage; without it, coverage is null.
    known
        What the known crystals are like (:func:`~.known.describe`), for the distances of
        distributions; without them, these are null.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    if missing := [name for name in NEEDED if name not in table]:
        raise ValueError(f"the evaluation table lacks {missing}; it has {sorted(table.columns)}")
    named = table["policy"].unique().tolist() if policies is None else policies
    return {
        "definitions": DEFINITIONS,
        "policies": {
            name: _policy(table[table["policy"] == name], training, known) for name in named
        },
    }


def _policy(
    rows: pd.DataFrame, training: TrainingSet | None, known: pd.DataFrame | None
) -> dict[str, Any]:
    total = len(rows)
    decoded = rows[rows["decoded"]]
    return {
        "generated": total,
        "fractions": _fractions(rows),
        "sun_on_elements_alone": int((rows["hull_compounds"][rows["sun"]] == 0).sum()),
        "numbers": _means(rows),
        "below_hull_artefacts": {
            name: int((_finite(rows[name]) < ARTEFACT_BELOW).sum())
            for name in ("e_above_hull_initial", "e_above_hull")
        },
        "relax_status": _counts(rows["relax_status"]),
        "hull_status": _counts(rows["hull_status"]),
        "judge": _judge(rows),
        "comparison": _comparison(rows),
        "failures": _counts(rows["failure"].dropna().str.split(":", n=1).str[0]),
        "diversity": asdict(
            diversity(
                *(
                    decoded[name].dropna().tolist()
                    for name in ("formula", "space_group", "prototype")
                ),
                training=training,
            )
        ),
        "distances": None if known is None else asdict(distances(rows, known)),
        "weighted": None if training is None else _weighted(rows, training),
        "space_groups": {
            str(group): {
                "generated": len(part),
                **{flag: fraction(count, len(part)) for flag, count in _by_group(part).items()},
            }
            for group, part in rows.groupby("space_group", sort=True)
        },
    }


def _weighted(rows: pd.DataFrame, training: TrainingSet) -> dict[str, Any]:
    """Fractions as if the groups had been sampled as often as they occur in the training set."""
    groups = [
        (training.space_groups.get(int(str(group)), 0), _by_group(part), len(part))
        for group, part in rows.groupby("space_group", sort=True)
    ]
    return {
        "covered": sum(weight for weight, _, _ in groups) / training.crystals,
        **{
            flag: asdict(weighted_fraction([(weight, k[flag], n) for weight, k, n in groups]))
            for flag in BY_GROUP
        },
    }


def _by_group(part: pd.DataFrame) -> dict[str, int]:
    passed = _passed(part)
    return {flag: int(passed[flag].sum()) for flag in BY_GROUP}


def _judge(rows: pd.DataFrame) -> dict[str, Any] | None:
    """Both potentials on the crystals that the judge evaluated, and how far the two agree."""
    if "judge_status" not in rows:
        return None
    rows = rows[rows["judge_status"].notna()]
    of_first = _fractions(rows)
    return {
        "judged": len(rows),
        "fractions": {
            **{name: of_first[name] for name in BESIDE_JUDGE},
            **_fractions(rows, only_with=JUDGE),
        },
        "numbers": _means(rows, only_with=JUDGE),
        "relax_status": _counts(rows["judge_status"]),
        "hull_status": _counts(rows["judge_hull_status"]),
        "agreement": agreement(rows),
    }


def _comparison(rows: pd.DataFrame) -> dict[str, Any] | None:
    """Stability on the comparison hull."""
    if "comparison_stable" not in rows:
        return None
    return {
        "fractions": _fractions(rows, only_with=HULL),
        "numbers": _means(rows, only_with=HULL),
        "hull_status": _counts(rows["comparison_hull_status"]),
    }


def _fractions(rows: pd.DataFrame, *, only_with: str = "") -> dict[str, Any]:
    passed = _passed(rows, only_with=only_with)
    return {name: fraction(int(flag.sum()), len(rows)) for name, flag in passed.items()}


def _passed(rows: pd.DataFrame, *, only_with: str = "") -> dict[str, pd.Series]:
    """Each flag of the summary, those that are combined of two included."""
    flags = columns.summarised("fraction", only_with=only_with)
    return {name: rows[name] for name in flags} | {
        combined.name: rows[combined.flags[0]] & rows[combined.flags[1]]
        for combined in COMBINED
        if combined.only_with == only_with
    }


def _means(rows: pd.DataFrame, *, only_with: str = "") -> dict[str, Any]:
    return {name: _number(rows[name]) for name in columns.summarised("mean", only_with=only_with)}


def _number(column: pd.Series) -> dict[str, int | float | None]:
    values = _finite(column)
    interval = mean_interval(values)
    some = bool(len(values))
    return {
        "n": len(values),
        "without": len(column) - len(values),
        "mean": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "median": float(np.median(values)) if some else None,
        "min": float(values.min()) if some else None,
        "max": float(values.max()) if some else None,
    }


def _finite(column: pd.Series) -> NDArray[np.float64]:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(values[np.isfinite(values)])


def _counts(column: pd.Series) -> dict[str, int]:
    """The number of each value except null, most frequent first, then by name."""
    counts = column.dropna().value_counts()
    return {
        str(name): int(counts[name])
        for name in sorted(counts.index, key=lambda name: (-counts[name], name))
    }
