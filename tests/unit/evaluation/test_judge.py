"""The columns of a judge with its own hull, and how far it agrees with the first potential."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.crystals import cubic_crystal
from pymatgen.core import Structure

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.evaluation.columns import summarised
from crystalformer_rl.evaluation.generated import Generated, merge
from crystalformer_rl.evaluation.judge import agreement, judge_columns
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.stability.corrections import mp2020_correction
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.reference import Elements, ReferenceHull

OXIDE = cubic_crystal("Fm-3m", "Mg", "O", 4.2)
SALT = cubic_crystal("Fm-3m", "Na", "Cl", 5.6)


def generated(crystals: list[Structure | None], energies: list[float], potential: str) -> Generated:
    decoded = [one is not None for one in crystals]
    common: dict[str, Any] = {"policy": "base", "id": [f"x-{i}" for i in range(len(crystals))]}
    columns = {
        "space_group": 225, "wyckoff": [[1, 2]] * len(crystals), "log_prob": -1.0,
        "decode_error": [None if good else "no volume" for good in decoded],
    }  # fmt: skip
    relaxations = {
        "potential": potential,
        "status": ["converged" if good else "unphysical" for good in decoded],
        "error": None, "energy_initial": energies, "energy_final": energies,
    }  # fmt: skip
    table = merge(
        pd.DataFrame(common | columns | structure_columns(crystals)),
        pd.DataFrame(common | relaxations | structure_columns(crystals, prefix="relaxed_")),
    )
    return Generated.of(table)


def test_the_judge_has_energies_a_hull_and_corrections_of_its_own() -> None:
    crystals = [OXIDE, OXIDE, SALT, None]
    # Uncorrected energies: MP2020 lowers that of the oxide and puts it on the hull.
    at_hull = -3.0 - mp2020_correction(OXIDE)
    columns = judge_columns(
        generated(crystals, [at_hull, at_hull + 0.05, -0.5, np.nan], "sevennet"),
        hull=ReferenceHull(
            Hull(["MgO"], [-3.0], elements=["Mg", "O"]),
            Elements("sevennet", "uncorrected", {"Mg": 0.0, "O": 0.0}),
        ),
        stable_below=0.1,
    )
    assert mp2020_correction(OXIDE) < -0.1
    assert columns["judge_e_above_hull"][:2] == pytest.approx([0.0, 0.05])
    assert columns["judge_hull_status"] == ["ok", "ok", "no_element_reference", "no_energy"]
    assert columns["judge_stable"].tolist() == [True, True, False, False]
    # Both energies are of the same geometry here.
    assert columns["judge_stable_initial"].tolist() == [True, True, False, False]
    assert columns["judge_supported"].tolist() == [True, True, False, False]
    assert set(columns["judge_potential"]) == {"sevennet"}
    assert list(columns["judge_status"]) == ["converged"] * 3 + ["unphysical"]
    assert np.isnan(columns["judge_energy"][3])


def judged_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "policy": "base", "space_group": 225, "prototype": "225 ab", "formula": "NaCl",
            "relax_status": "converged", "hull_status": "ok", "failure": None,
            **{flag: [False] * 5 for flag in summarised("fraction")},
            **{name: [np.nan] * 5 for name in summarised("mean")},
            "e_above_hull": [0.0, 0.0, 0.3, 0.3, np.nan],
            "stable": [True, True, False, False, False],
            "judge_e_above_hull": [0.05, 0.5, 0.0, 0.4, 0.0],
            "judge_stable": [True, False, True, False, True],
            "judge_stable_initial": [True, False, False, False, False],
            "judge_e_above_hull_initial": [0.08, 0.6, 0.2, 0.7, 0.3],
            "judge_status": "converged", "judge_hull_status": "ok", "hull_compounds": 1,
            "judge_supported": [True, False, True, True, True],
            "sun": [True, True, False, False, False],
            "supported": [False, True, True, True, False],
            "sun_judge": [True, False, False, False, False],
        }
    )  # fmt: skip


def test_agreement_is_counted_and_leaves_out_what_one_of_them_could_not_place() -> None:
    found = agreement(judged_table())
    assert found | {"agree": None} == {
        "both_stable": 1, "only_first_stable": 1, "only_judge_stable": 2, "neither_stable": 1,
        "agree": None,
    }  # fmt: skip
    assert (found["agree"]["k"], found["agree"]["n"]) == (2, 4)
    assert found["agree"]["low"] < 0.5 < found["agree"]["high"]


def test_the_summary_has_the_judge_where_there_is_one() -> None:
    base = summarise(judged_table())["policies"]["base"]
    assert base["judge"]["fractions"]["judge_stable"]["k"] == 3
    assert base["judge"]["fractions"]["judge_stable_initial"]["k"] == 1
    assert base["judge"]["fractions"]["sun_judge"]["n"] == 5
    assert base["judge"]["fractions"]["sun_supported"]["k"] == 1
    assert base["judge"]["fractions"]["sun_judge_supported"]["k"] == 1
    assert base["judge"]["numbers"]["judge_e_above_hull"]["mean"] == pytest.approx(0.19)
    assert base["judge"]["hull_status"] == {"ok": 5}
    json.dumps(base, allow_nan=False)
    # The judge may have seen only some: all its fractions, and those beside them, are over these.
    part = judged_table()
    part.loc[2:, ["judge_status", "judge_hull_status", "judge_e_above_hull"]] = None
    judge = summarise(part)["policies"]["base"]["judge"]
    assert judge["judged"] == judge["fractions"]["stable"]["n"] == 2
    assert (judge["fractions"]["stable"]["k"], judge["fractions"]["judge_stable"]["k"]) == (2, 1)
    assert judge["agreement"]["agree"]["n"] == 2
    assert judge["fractions"]["sun_supported"]["n"] == 2
    without = judged_table().drop(columns="judge_status")
    assert summarise(without)["policies"]["base"]["judge"] is None
