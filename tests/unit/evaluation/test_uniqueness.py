"""The first of its kind, of all shards of a policy, and S.U.N."""

from typing import Any

import pandas as pd
import pytest
from helpers.crystals import cubic_crystal
from pymatgen.core import Structure

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.evaluation import uniqueness
from crystalformer_rl.evaluation.uniqueness import (
    find_unique,
    formula_batches,
    uniqueness_columns,
)

SETTINGS = EvaluateSettings()
SALT = cubic_crystal("Fm-3m", "Na", "Cl", 5.6)
CESIUM = cubic_crystal("Pm-3m", "Na", "Cl", 3.5)
ALLOY = cubic_crystal("Pm-3m", "Na", "Mg", 3.9)


def table_of(crystals: list[Structure | None], **columns: Any) -> pd.DataFrame:
    """Assessed crystals: stable and novel, and not relaxed, unless ``columns`` say otherwise."""
    relaxed = columns.pop("relaxed", [None] * len(crystals))
    return pd.DataFrame(
        {
            "policy": "base",
            "id": pd.array([f"x-{i}" for i in range(len(crystals))], dtype="str"),
            "relax_status": "diverged",
            "stable": [one is not None for one in crystals],
            "novel": [one is not None for one in crystals],
            "novel_strict": [one is not None for one in crystals],
            **structure_columns(crystals),
            **structure_columns(relaxed, prefix="relaxed_"),
            **columns,
        }
    )


def test_sun_is_stable_then_unique_then_novel() -> None:
    table = table_of(
        # Unstable, its first stable one, which is known; stable and new, a repeat, no crystal;
        # first of another policy, unstable.
        [SALT, SALT, CESIUM, CESIUM, None, CESIUM, ALLOY],
        policy=["base"] * 5 + ["sft"] * 2,
        stable=[False, True, True, True, False, True, False],
        novel=[False, False, True, True, False, True, True],
    )
    columns = uniqueness_columns(table, settings=SETTINGS)
    assert columns["unique"].tolist() == [True, False, True, False, False, True, True]
    assert columns["stable_unique"].tolist() == [False, True, True, False, False, True, False]
    assert columns["sun"].tolist() == [False, False, True, False, False, True, False]
    assert columns["representative"].fillna("").tolist() == [
        "x-0", "x-0", "x-2", "x-2", "", "x-5", "x-6",
    ]  # fmt: skip


def test_strict_tolerances_tell_variants_apart() -> None:
    bent = CESIUM.copy().apply_strain([0.2, 0.0, 0.0])
    columns = uniqueness_columns(
        table_of(
            [CESIUM, bent, bent],
            stable=[False, True, True],
            novel=False,
            novel_strict=[False, True, True],
        ),
        settings=SETTINGS,
    )
    assert columns["unique"].tolist() == [True, False, False]
    assert columns["unique_strict"].tolist() == [True, True, False]
    assert not columns["sun"].any()
    assert columns["sun_strict"].tolist() == [False, True, False]


def test_the_relaxed_crystal_is_compared_else_the_generated_one() -> None:
    table = table_of(
        [CESIUM, SALT, CESIUM],
        relaxed=[SALT, None, SALT],
        relax_status=["not_converged", "diverged", "diverged"],
    )
    columns = uniqueness_columns(table, settings=SETTINGS)
    assert columns["unique"].tolist() == [True, False, True]


def test_sun_of_the_judge_is_that_of_the_crystals_that_it_has_seen() -> None:
    table = table_of(
        [SALT, ALLOY, SALT, SALT],
        judge_status=[None, "converged", "converged", "converged"],
        judge_stable=pd.array([None, False, True, True], dtype="boolean"),
    )
    columns = uniqueness_columns(table, settings=SETTINGS)
    # The first crystal is the same as the third, but the judge has not seen it.
    assert columns["sun_judge"].tolist() == [pd.NA, False, True, False]
    assert columns["sun"].tolist() == [True, True, False, False]


def run_table() -> pd.DataFrame:
    crystals = [SALT, ALLOY, None, CESIUM, SALT, SALT, CESIUM, ALLOY, None, SALT]
    judge = pd.array([True, None, False, True, None, True, True, True, False, True])
    return table_of(
        crystals,
        policy=["base"] * 6 + ["sft"] * 4,
        judge_stable=judge,
        judge_status=["converged" if known else None for known in ~judge.isna()],
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_result_depends_on_the_batch_size(size: int) -> None:
    table = run_table()
    whole = uniqueness_columns(table, settings=SETTINGS)
    assert whole["unique"].sum() == 6
    pd.testing.assert_frame_equal(find_unique(table, SETTINGS, batch_size=size), whole)


@pytest.mark.slow
def test_processes_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uniqueness, "WORTH_A_PROCESS", 2)
    table = run_table()
    pd.testing.assert_frame_equal(
        find_unique(table, SETTINGS, processes=2), uniqueness_columns(table, settings=SETTINGS)
    )


def test_a_table_without_rows_has_the_columns() -> None:
    columns = find_unique(table_of([]), SETTINGS)
    assert len(columns) == 0
    assert columns.dtypes.astype(str).to_dict() == {
        "unique": "bool", "representative": "str", "stable_unique": "bool", "sun": "bool",
        "unique_strict": "bool", "stable_unique_strict": "bool", "sun_strict": "bool",
    }  # fmt: skip


def test_batches_are_small_and_keep_formulas_together() -> None:
    formulas = [((11, 1),), None, ((17, 1),), ((11, 1),), None, ((11, 1),), ((3, 1),)]
    found = [rows.tolist() for rows in formula_batches(formulas, size=3)]
    assert sorted(row for rows in found for row in rows) == list(range(7))
    assert found == [[0, 3, 5], [1, 2, 4], [6]]
    assert [rows.tolist() for rows in formula_batches([], size=3)] == [[]]
