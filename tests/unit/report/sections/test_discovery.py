"""Discoveries during training."""

import pandas as pd
from helpers import synthetic

from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections.discovery import discovery_table, section

CRYSTALS = pd.DataFrame(
    {
        "step": [2, 1, 1, 2, 3],  # of two rounds, in any order
        "formula": ["NaCl", "NaCl", "KCl", "KBr", "KBr"],
        "space_group": [225, 225, 225, 225, 221],
        "valid": [True, True, False, True, True],
        "e_above_hull": [0.0, 0.3, None, 0.05, 0.2],
    }
)


def _run(crystals: pd.DataFrame) -> Run:
    table = synthetic.structures({"base": 2, "rl-a": 2}).assign(
        formula="KBr", space_group=221, sun=True
    )
    return synthetic.run(table, crystals={"rl-a": crystals})


def test_a_kind_counts_from_the_step_where_it_was_first_sampled() -> None:
    found = discovery_table(_run(CRYSTALS))
    assert found["step"].tolist() == [1, 2, 3]
    assert found["sampled"].tolist() == [2, 4, 5]
    assert found["kinds"].tolist() == [1, 2, 3]
    assert found["low"].tolist() == [0, 2, 2]
    assert found["later_sun"].tolist() == [0, 0, 1]


def test_a_reward_without_energies_has_no_count_below_the_threshold() -> None:
    run = _run(CRYSTALS.drop(columns="e_above_hull"))
    assert discovery_table(run)["low"].isna().all()
    shown = section(run)
    assert shown is not None
    assert "discovery" in shown.figures


def test_without_crystals_there_is_no_section() -> None:
    assert section(synthetic.run(synthetic.structures({"base": 2}))) is None
