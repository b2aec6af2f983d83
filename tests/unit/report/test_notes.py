"""What the page says in sentences."""

import pandas as pd
import pytest
from helpers import synthetic

from crystalformer_rl.config import Config
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.report import notes
from crystalformer_rl.report.tables import Mean, Share


def _warned(table: pd.DataFrame) -> str:
    return " ".join(notes.warnings(summarise(table), Config(rl={})))


def test_a_good_run_has_no_warning() -> None:
    table = synthetic.structures({"base": 100}).assign(
        unique=True, hull_status="ok", relax_status="converged", e_above_hull=0.1
    )
    assert _warned(table) == ""


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"unique": False}, "Low uniqueness"),
        ({"e_above_hull": -0.5}, "Suspiciously deep"),
        ({"hull_status": "no_element_reference"}, "without a reference"),
        ({"relax_status": "not_converged"}, "cut short"),
        ({"hull_compounds": 0, "sun": True}, "base 100 of 100. For them"),
    ],
)
def test_what_spoils_a_run_is_said(change: dict[str, object], warning: str) -> None:
    assert warning in _warned(synthetic.structures({"base": 100}).assign(**change))


def test_only_sun_structures_without_a_known_compound_are_warned_of() -> None:
    table = synthetic.structures({"base": 4, "sft": 4}).assign(
        hull_compounds=[0, 1, 0, 0] * 2,
        sun=[True, True, True, True, False, True, False, False],
        supported=[False, True, False, False] * 2,
    )
    text = _warned(table)
    assert "no compound: base 3 of 4. For them" in text
    assert "formation energy below 0.1 eV/atom" in text
    assert "Hulls of elements alone" not in _warned(table.assign(hull_compounds=7))


def test_few_structures_and_none_are_said() -> None:
    table = synthetic.structures({"base": 99})
    assert "Few structures" in _warned(table)
    assert "No structures" in _warned(table.head(0))


def test_comparison_states_whether_intervals_part() -> None:
    table = synthetic.structures({"base": 200, "rl-ehull": 200}, shift={"rl-ehull": 0.5})
    text = notes.findings(summarise(table), losses={"base": synthetic.losses()}, config=Config())
    assert "validation loss 31.60 before" in text
    assert "<strong>do not overlap</strong>" in text
    assert "<td>overlap</td>" in text


def test_without_a_base_nothing_is_compared() -> None:
    summary = summarise(synthetic.structures({"sft": 5}))
    assert "no second policy" in notes.findings(summary, losses={}, config=Config())


def test_intervals_without_ends_are_never_apart() -> None:
    nan = float("nan")
    one = Mean(value=1.0, low=nan, high=nan, median=1.0, n=1)
    assert not notes.apart(one, Mean(value=9.0, low=8.0, high=10.0, median=9.0, n=5))
    assert notes.apart(Share(1, 9, 0.0, 0.2), Share(8, 9, 0.7, 1.0))
