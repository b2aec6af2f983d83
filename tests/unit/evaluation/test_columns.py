"""The list of columns."""

import pandas as pd
import pytest
from helpers import synthetic

from crystalformer_rl.evaluation import columns
from crystalformer_rl.evaluation.columns import COLUMNS, COMBINED, JUDGE, Column


def test_every_name_is_listed_once_and_has_a_meaning() -> None:
    assert len(columns.BY_NAME) == len(COLUMNS) + len(COMBINED)
    assert all(one.meaning for one in columns.BY_NAME.values())


def test_what_is_combined_are_flags() -> None:
    flags = {column.name for column in COLUMNS if column.type == "flag"}
    assert all(set(one.flags) <= flags for one in COMBINED)
    assert all(c.type == "flag" for c in COLUMNS if c.summary == "fraction")
    assert all(c.type == "number" for c in COLUMNS if c.summary == "mean")


def test_heading_has_the_unit() -> None:
    assert Column("band_gap", "number", "", unit="eV").heading == "band gap (eV)"
    assert Column("sun", "flag", "", title="S.U.N.").heading == "S.U.N."


def test_titles_of_the_judge_say_so() -> None:
    titles = [columns.title_of(name) for name in ("stable", "judge_stable", "judge_energy")]
    assert titles == ["stable", "stable, by the judge", "judge energy"]
    assert columns.title_of("sun_judge_supported") == "S.U.N., supported, by the judge"


def test_the_columns_of_a_run_pass_the_check() -> None:
    table = synthetic.structures({"base": 12})
    columns.check(table)
    columns.check(table.head(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"novelty": 1.0}, r"lacks \[\] and has the unknown columns \['novelty'\]"),
        ({"stable": 0.5}, "'stable' must be of the type 'flag', it is float64"),
        ({"formula": 3}, "'formula' must be of the type 'text', it is int64"),
        ({"space_group": "P1"}, "'space_group' must be of the type 'integer'"),
        ({"e_above_hull": True}, "'e_above_hull' must be of the type 'number', it is bool"),
    ],
)
def test_another_column_or_type_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        columns.check(synthetic.structures({"base": 3}).assign(**change))


def test_lists_must_hold_numbers() -> None:
    table = synthetic.structures({"base": 3})
    words = pd.Series([["a"]] * 3, index=table.index)
    with pytest.raises(ValueError, match="'lattice' must be of the type 'numbers'"):
        columns.check(table.assign(lattice=words))


def test_a_missing_column_and_another_order_are_refused() -> None:
    table = synthetic.structures({"base": 3})
    with pytest.raises(ValueError, match=r"lacks \['rmsd'\]"):
        columns.check(table.drop(columns="rmsd"))
    with pytest.raises(ValueError, match=r"lacks .*judge_stable"):
        columns.check(table, keys=[JUDGE])
    with pytest.raises(ValueError, match="in the order"):
        columns.check(table[table.columns[::-1]])


def test_a_summary_that_does_not_fit_the_type_is_refused() -> None:
    with pytest.raises(ValueError, match="column sites: summary 'mean' needs the type number"):
        Column("sites", "integer", "Number of sites.", summary="mean")
