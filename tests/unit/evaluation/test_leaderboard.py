"""Flags as leaderboards define them."""

import pandas as pd

from crystalformer_rl.evaluation.leaderboard import leaderboard_columns


def test_stable_and_metastable_are_counted_on_their_own() -> None:
    energies = [-0.02, 0.0, 0.001, 0.1, 0.101, None, -0.1, -0.1]
    table = pd.DataFrame(
        {
            "e_above_hull": pd.array(energies, dtype="Float64"),
            "unique": [True] * 6 + [False, True],
            "novel": [True] * 7 + [False],
        }
    )
    found = leaderboard_columns(table)
    assert found["lemat_sun"].tolist() == [True, True, *[False] * 6]
    assert found["lemat_msun"].tolist() == [False, False, True, True, *[False] * 4]
