"""The section with other definitions."""

import pandas as pd
from helpers import synthetic

from crystalformer_rl.report.sections.benchmarks import section

KNOWN = pd.DataFrame(
    {
        "density": [3.0, 4.0],
        "num_elements": [2, 3],
        "space_group": pd.array([225, 62], dtype="Int64"),
    }
)


def test_fractions_and_distances_are_shown() -> None:
    table = synthetic.structures({"base": 4, "sft": 4}).assign(
        lemat_sun=[True, False, False, False] * 2, nearest_known=0.25, relaxed_space_group=225
    )
    found = section(synthetic.run(table, known=KNOWN))
    assert "SUN (LeMat-GenBench)" in found.body
    assert "<b>25.0\u202f%</b><small>1/4</small>" in found.body
    assert found.tables["distances"]["relaxed_space_groups"].tolist() == [1.0, 1.0]


def test_without_known_crystals_there_are_dashes() -> None:
    found = section(synthetic.run(synthetic.structures({"base": 4})))
    assert found.tables["distances"].drop(columns="policy").isna().all(axis=None)
