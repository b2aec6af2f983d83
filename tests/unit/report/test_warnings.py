"""Warnings of the page."""

import pandas as pd
import pytest
from helpers import synthetic

from crystalformer_rl.config import Config, JudgeSettings, RelaxSettings
from crystalformer_rl.report.warnings import warnings


def _warned(table: pd.DataFrame, config: Config | None = None) -> str:
    return " ".join(warnings(synthetic.run(table, config=config or Config(rl={}))))


def test_a_good_run_has_no_warning() -> None:
    table = synthetic.structures({"base": 100}).assign(
        unique=True, hull_status="ok", relax_status="converged", e_above_hull=0.1
    )
    assert _warned(table) == ""


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"unique": False}, "Low uniqueness"),
        ({"e_above_hull": -0.5}, "Suspiciously low"),
        ({"hull_status": "no_element_reference"}, "element that has no reference"),
        ({"relax_status": "not_converged"}, "cut short"),
        ({"hull_compounds": 0, "sun": True}, "base 100 of 100. For them"),
    ],
)
def test_what_spoils_a_run_is_said(change: dict[str, object], warning: str) -> None:
    assert warning in _warned(synthetic.structures({"base": 100}).assign(**change))


def test_only_sun_structures_without_a_known_compound_are_warned_of() -> None:
    table = synthetic.structures({"base": 4, "sft": 4}).assign(
        formula=["NaCl", "NaCl", "Na2TiO3", "Si"] * 2,
        hull_compounds=[0, 1, 0, 0] * 2,
        sun=[True, True, True, True, False, True, False, False],
        supported=[False, True, False, False] * 2,
    )
    text = _warned(table)
    assert "no compound: base 3 of 4. For them" in text
    assert "formation energy below 0.1 eV/atom" in text
    assert "Hulls of elements alone" not in _warned(table.assign(hull_compounds=7))


def test_that_nothing_was_relaxed_is_said_and_not_that_steps_were_missing() -> None:
    table = synthetic.structures({"base": 100}).assign(relax_status="not_converged")
    said = _warned(table, Config(rl={}, relax=RelaxSettings(max_steps=0)))
    assert "No relaxation" in said
    assert "cut short" not in said


def test_few_structures_and_none_are_said() -> None:
    table = synthetic.structures({"base": 99})
    assert "Few structures" in _warned(table)
    assert "No structures" in _warned(table.head(0))


def test_structures_of_another_generator_beyond_the_number_of_samples_are_said() -> None:
    table = synthetic.structures({"base": 100, "theirs": 100})
    record = {"sample/theirs/shard-0000": {"counts": {"in_source": 250}}}
    config = Config(external={"theirs": "theirs.extxyz"})
    said = " ".join(warnings(synthetic.run(table, config=config, provenance=record)))
    assert "Structures left out" in said
    assert "theirs the first 100 of 250" in said
    record["sample/theirs/shard-0000"]["counts"]["in_source"] = 100
    said = " ".join(warnings(synthetic.run(table, config=config, provenance=record)))
    assert "Structures left out" not in said


def test_what_the_hull_leaves_out_is_counted() -> None:
    text = _warned(
        synthetic.structures({"base": 4}).assign(
            hull_status=["ok", "sparse", "ytterbium", "ytterbium"]
        )
    )
    assert "1 structures have the status <code>sparse</code>: the hull knows fewer" in text
    assert "2 structures have the status <code>ytterbium</code>" in text
    assert "<code>hull.exclude_ytterbium</code>" in text


def test_without_a_judge_the_rewarding_potential_is_warned_of() -> None:
    table = synthetic.structures({"base": 4})
    without = _warned(table, Config(judge=JudgeSettings(potential=None)))
    assert "One potential for reward and evaluation" in without
    assert "One potential" not in _warned(table, Config())
