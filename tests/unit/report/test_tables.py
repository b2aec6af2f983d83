"""Counting: funnel, ledger, best structures."""

import numpy as np
import pandas as pd
import pytest
from helpers import synthetic

from crystalformer_rl.evaluation import sun
from crystalformer_rl.evaluation.diversity import TrainingSet
from crystalformer_rl.report import tables
from crystalformer_rl.stability.hull import ARTEFACT_BELOW


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return synthetic.structures({"base": 60, "sft": 40})


def test_flags_count_null_and_missing_as_no() -> None:
    frame = pd.DataFrame({"a": [True, None, np.nan, False]}, dtype=object)
    assert tables.flag(frame, "a").tolist() == [True, False, False, False]
    assert tables.flag(frame, "b").tolist() == [False] * 4
    nullable = pd.DataFrame({"a": pd.array([True, None], dtype="boolean")})
    assert tables.flag(nullable, "a").tolist() == [True, False]


def test_numbers_of_nulls_and_missing_columns_are_nan() -> None:
    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64")})
    assert tables.numbers(frame, "a")[0] == 1
    assert np.isnan(tables.numbers(frame, "a")[1])
    assert np.isnan(tables.numbers(frame, "b")).all()


def test_funnel_never_widens_and_ends_at_sun(table: pd.DataFrame) -> None:
    for rows in tables.by_policy(table).values():
        counts = list(tables.funnel(rows).values())
        assert counts[0] == len(rows)
        assert counts == sorted(counts, reverse=True)
        assert counts[-1] == rows["sun"].sum()


def test_shares_and_means_are_those_of_the_summary(table: pd.DataFrame) -> None:
    summary = sun.summarise(table)
    share = tables.share(summary, "sft", "stable")
    assert (share.k, share.n) == (table[table.policy == "sft"]["stable"].sum(), 40)
    assert share.low < share.fraction < share.high
    energies = table[table.policy == "sft"]["e_above_hull"].dropna()
    mean = tables.mean(summary, "sft", "e_above_hull")
    assert mean.value == pytest.approx(energies.mean())
    assert mean.n == len(energies)


def test_diversity_is_that_of_the_summary(table: pd.DataFrame) -> None:
    training = TrainingSet(10, {225: 9, 1: 1}, {"225 ab": 10}, {"Na": 5, "Cl": 5})
    kinds = tables.diversity_table(sun.summarise(table, training=training))
    assert len(kinds) == 2 * len(tables.KINDS)
    row = kinds[(kinds.policy == "sft") & (kinds.kind == "space_groups")].iloc[0]
    decoded = table[(table.policy == "sft") & table.decoded]
    assert (row.crystals, row.distinct) == (len(decoded), decoded.space_group.nunique())
    assert (row.covered, row.of) == (1, 2)
    assert kinds[kinds.kind == "formulas"]["of"].isna().all()


def test_artefacts_mean_the_same_as_in_the_evaluation() -> None:
    assert tables.ARTEFACT_BELOW == ARTEFACT_BELOW


def test_groups_are_the_most_sampled_in_order(table: pd.DataFrame) -> None:
    shares = tables.sun_by_group(sun.summarise(table), groups=3)
    counts = table["space_group"].value_counts()
    numbers = [int(label.split()[0]) for label in shares]
    assert numbers == sorted(numbers)
    assert min(counts[numbers]) >= counts.drop(numbers).max()
    assert sum(part.n for part in next(iter(shares.values())).values()) == counts[numbers[0]]


def test_group_labels_have_proper_screw_axes() -> None:
    assert tables.group_label(194) == "194 P6₃/mmc"
    assert tables.group_label(1) == "1 P1"


def test_ledger_counts_every_failure_and_joins_like_reasons() -> None:
    frame = synthetic.structures({"base": 4}).assign(
        decoded=[False, False, True, True],
        failure=["decode: volume 0.1 too small", "decode: volume 2e-3 too small", None, None],
        relax_status=[None, None, "not_converged", "converged"],
        valid_charge=[False, False, False, True],
        valid_distance=True,
        valid_volume=True,
        valid_density=True,
    )
    ledger = tables.failures(frame).to_dict("list")
    assert ledger["stage"] == ["decode", "validity", "relax"]
    assert ledger["reason"] == [
        "volume … too small", "charge check", "out of steps, judged as it stands"
    ]  # fmt: skip
    assert ledger["count"] == [2, 1, 1]
    assert ledger["sampled"] == [4, 4, 4]


def test_ledger_of_a_perfect_run_is_empty() -> None:
    frame = synthetic.structures({"base": 2}).assign(
        decoded=True, failure=None, relax_status="converged",
        valid_charge=True, valid_distance=True, valid_volume=True, valid_density=True,
    )  # fmt: skip
    assert tables.failures(frame).empty


def test_best_lists_a_crystal_once_and_names_its_finders() -> None:
    frame = pd.DataFrame(
        {
            "id": ["a", "b", "c", "d"],
            "policy": ["base", "sft", "sft", "base"],
            "formula": ["NaCl", "NaCl", "NaN", "MgO"],
            "space_group": [225, 225, 225, 225],
            "sun": [True, True, True, False],
            "e_above_hull": [0.05, 0.01, 0.03, -1.0],
        }
    )
    best = tables.best(frame, by="e_above_hull", among="sun", count=5, descending=False)
    assert best["id"].tolist() == ["b", "c"]
    assert best["found_by"].tolist() == ["sft, base", "sft"]
    merit = tables.best(frame, by="e_above_hull", among="sun", count=1, descending=True)
    assert merit["id"].tolist() == ["a"]
