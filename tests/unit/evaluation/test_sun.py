"""Numbers of the report, from a table made by hand."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crystalformer_rl.evaluation.columns import summarised
from crystalformer_rl.evaluation.diversity import TrainingSet
from crystalformer_rl.evaluation.sun import summarise


def table() -> pd.DataFrame:
    """Four crystals of one policy, the last two failures; one crystal of another."""
    flags: dict[str, Any] = {
        "decoded": [True, True, True, False, True],
        "valid": [True, False, True, False, True],
        "stable": [True, True, False, False, False],
        "unique": [True, True, False, False, True],
        "novel": [True, False, True, False, True],
        "sun": [True, False, False, False, False],
        "supported": [True, False, False, False, False],
    }
    numbers: dict[str, Any] = {
        "e_above_hull_initial": [0.2, 0.4, 2.0, np.nan, 0.5],
        "e_above_hull": [0.05, -0.2, np.nan, np.nan, np.nan],
    }
    return pd.DataFrame(
        {
            "policy": ["base"] * 4 + ["sft"],
            "space_group": [225, 225, 2, 2, 1],
            "prototype": ["225 ab", "225 ab", "2 i", None, "1 aa"],
            "formula": ["NaCl", "NaCl", "Fe", None, "MgO"],
            "relax_status": ["converged", "not_converged", "diverged", "unphysical", "error"],
            "hull_status": ["ok", "ok", "no_energy", "no_energy", "no_energy"],
            "hull_compounds": [1, 1, 0, 0, 0],
            "failure": [None, None, "relax: diverged: why", "decode: no volume", "relax: error"],
            **{flag: [False] * 5 for flag in summarised("fraction")},
            **{name: [np.nan] * 5 for name in summarised("mean")},
            **flags,
            **numbers,
        }
    )


def test_every_fraction_is_over_all_generated() -> None:
    summary = summarise(table())["policies"]
    assert list(summary) == ["base", "sft"]
    base = summary["base"]
    assert base["generated"] == 4
    assert {part["n"] for part in base["fractions"].values()} == {4}
    assert {name: part["k"] for name, part in base["fractions"].items() if part["k"]} == {
        "decoded": 3, "valid": 2, "stable": 2, "unique": 2, "novel": 2, "sun": 1,
        "supported": 1, "sun_supported": 1,
    }  # fmt: skip
    interval = stats.binomtest(1, 4).proportion_ci(method="wilson")
    sun = base["fractions"]["sun"]
    assert (sun["fraction"], sun["low"], sun["high"]) == pytest.approx(
        (0.25, interval.low, interval.high)
    )


def test_what_is_not_supported_stays_in_sun_and_is_counted_beside_it() -> None:
    rows = table().assign(
        sun=[True, True, True, False, True],
        supported=[True, False, False, True, False],
        hull_compounds=[1, 0, 0, 0, 1],
    )
    policies = summarise(rows)["policies"]
    base, sft = (policies[name]["fractions"] for name in ("base", "sft"))
    assert (base["sun"]["k"], base["sun_supported"]["k"], base["sun_supported"]["n"]) == (3, 1, 4)
    interval = stats.binomtest(1, 4).proportion_ci(method="wilson")
    assert base["sun_supported"]["high"] == pytest.approx(interval.high)
    assert (sft["sun"]["k"], sft["sun_supported"]["k"]) == (1, 0)
    # The crystal of the other policy is set aside for its energy, not for its hull.
    assert [policies[name]["sun_on_elements_alone"] for name in ("base", "sft")] == [2, 0]


def test_a_policy_without_crystals_has_null_fractions() -> None:
    summary = summarise(table().head(0), policies=["base"])
    base = json.loads(json.dumps(summary, allow_nan=False))["policies"]["base"]
    assert base["generated"] == 0
    assert base["fractions"]["sun"] == dict.fromkeys(("fraction", "low", "high")) | {"k": 0, "n": 0}
    assert summarise(table().head(0))["policies"] == {}


def test_means_say_how_many_have_no_value() -> None:
    numbers = summarise(table())["policies"]["base"]["numbers"]
    before = numbers["e_above_hull_initial"]
    assert (before["n"], before["without"]) == (3, 1)
    assert before["mean"] == pytest.approx(2.6 / 3)
    assert (before["median"], before["min"], before["max"]) == (0.4, 0.2, 2.0)
    assert before["low"] < before["mean"] < before["high"]
    assert numbers["rmsd"] == {
        "n": 0, "without": 4, "mean": None, "low": None, "high": None,
        "median": None, "min": None, "max": None,
    }  # fmt: skip


def test_failures_artefacts_and_space_groups() -> None:
    base = summarise(table())["policies"]["base"]
    assert base["failures"] == {"decode": 1, "relax": 1}
    assert base["hull_status"] == {"no_energy": 2, "ok": 2}
    assert list(base["relax_status"]) == ["converged", "diverged", "not_converged", "unphysical"]
    assert base["below_hull_artefacts"] == {"e_above_hull_initial": 0, "e_above_hull": 1}
    assert base["diversity"]["formulas"]["distinct"] == 2
    assert base["diversity"]["prototypes"]["coverage"] is None
    groups = base["space_groups"]
    assert list(groups) == ["2", "225"]
    assert (groups["225"]["generated"], groups["225"]["sun"]["k"]) == (2, 1)
    assert groups["2"]["sun"] == pytest.approx(
        {"k": 0, "n": 2, "fraction": 0.0, "low": 0.0, "high": 0.6576}, abs=1e-4
    )


def test_space_groups_have_the_weights_of_the_training_set() -> None:
    training = TrainingSet(10, {225: 6, 1: 3, 2: 1}, {}, {})
    weighted = summarise(table(), training=training)["policies"]["base"]["weighted"]
    assert weighted["covered"] == pytest.approx(0.7)
    assert weighted["sun"]["estimate"] == pytest.approx((6 * 1 / 2 + 1 * 0 / 2) / 7)
    assert weighted["sun"]["low"] < weighted["sun"]["estimate"] < weighted["sun"]["high"]
    assert summarise(table())["policies"]["base"]["weighted"] is None


def test_coverage_is_of_the_training_set() -> None:
    training = TrainingSet(10, {225: 9, 1: 1}, {"225 ab": 10}, {"Na": 5, "Cl": 5, "O": 5})
    policies = summarise(table(), training=training)["policies"]
    covered = {name: policies[name]["diversity"]["elements"]["coverage"] for name in policies}
    assert (covered["base"]["covered"], covered["sft"]["covered"], covered["sft"]["of"]) == (
        2,
        1,
        3,
    )
    assert policies["sft"]["diversity"]["prototypes"]["coverage"]["covered"] == 0


def test_nothing_but_failures_is_json() -> None:
    rows = table().iloc[3:4]
    text = json.dumps(summarise(rows), allow_nan=False)
    assert json.loads(text)["policies"]["base"]["fractions"]["sun"]["k"] == 0


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="lacks \\['novel'\\]"):
        summarise(table().drop(columns="novel"))
