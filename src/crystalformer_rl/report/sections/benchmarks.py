"""The quantities of other evaluations: the same crystals by their definitions."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import MISSING, Section, number
from crystalformer_rl.report.run import Run

FRACTIONS = ("lemat_sun", "lemat_msun", "single_element", "space_group_kept", "relaxed_p1")
DISTANCES = {
    "space_groups": "χ² of space groups, as generated",
    "relaxed_space_groups": "χ² of space groups, relaxed",
    "expected_space_groups": "expected χ²",
    "density": "Wasserstein distance of density (g/cm³)",
    "num_elements": "Wasserstein distance of the number of elements",
}


def section(run: Run) -> Section:
    """The table of fractions and the table of distances from the dataset."""
    dots = {name: markup.dot(run.colours[name], name) for name in run.policies}
    fractions = markup.table(
        ["policy", *(markup.heading(name) for name in FRACTIONS)],
        [
            [dot, *(markup.share(run.share(policy, name)) for name in FRACTIONS)]
            for policy, dot in dots.items()
        ],
        caption=Markup(
            "Of all sampled structures. {} The potential, the hull and the known structures are "
            "those of this run: only the definitions are the benchmark's."
        ).format(markup.meanings(FRACTIONS)),
    )
    rows = [
        [dot, *_distances(run.policies[policy]), markup.interval(run.mean(policy, "nearest_known"))]
        for policy, dot in dots.items()
    ]
    distances = markup.table(
        ["policy", *DISTANCES.values(), markup.heading("nearest_known")],
        rows,
        caption=Markup(
            "How far the structures are from the dataset. 0 is the same distribution, which is no "
            "merit. χ² is the sum of (f − f₀)²/f₀ over the frequencies of the space groups of the "
            "dataset (WyFormer), and the expected χ² that of as many structures drawn from the "
            "dataset: compare the two. The Wasserstein distances are of the valid structures "
            "(CDVAE). {}"
        ).format(markup.meanings(["nearest_known"])),
    )
    tables = {"distances": distance_table(run.policies)}
    return Section("benchmarks", "Other definitions", fractions + distances, tables=tables)


def distance_table(policies: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The distances from the dataset, for a CSV."""
    rows = [{"policy": policy, **(entry["distances"] or {})} for policy, entry in policies.items()]
    return pd.DataFrame(rows, columns=["policy", "crystals", *DISTANCES])


def _distances(entry: Mapping[str, Any]) -> list[str]:
    found = entry["distances"] or {}
    return [MISSING if found.get(name) is None else number(found[name]) for name in DISTANCES]
