"""The verdict per policy."""

from dataclasses import replace

import pandas as pd
import pytest
from helpers import synthetic

from crystalformer_rl.config import Config, JudgeSettings
from crystalformer_rl.evaluation.intervals import difference_of_fractions, wilson
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections.verdict import draw, records, table


def _run(judged: int = 40) -> Run:
    """Two policies of 40: 10 and 30 supported S.U.N.; of those judged, 5 and 20 stable by both."""
    rows = synthetic.structures({"base": 40, "sft": 40})
    sun = [place < 10 for place in range(40)] + [place < 30 for place in range(40)]
    rows = rows.assign(sun=sun, supported=True, stable=sun)
    run = synthetic.run(rows)
    if judged:
        both = {"base": 5, "sft": 20}
        policies = {
            name: {**entry, "judge": {"judged": judged, "agreement": {"both_stable": both[name]}}}
            for name, entry in run.summary["policies"].items()
        }
        run = replace(run, summary={**run.summary, "policies": policies})
    return run


def test_each_criterion_has_share_interval_and_change() -> None:
    found = records(_run()).set_index(["policy", "quantity"])
    sun = found.loc[("sft", "sun_supported")]
    assert (sun.k, sun.n, sun.fraction) == (30, 40, 0.75)
    assert sun.low == wilson(30, 40).low
    expected = difference_of_fractions((30, 40), (10, 40))
    assert (sun.change, sun.change_low) == (expected.estimate, expected.low)
    both = found.loc[("sft", "stable_by_both")]
    assert (both.k, both.n) == (20, 40)
    assert pd.isna(found.loc[("base", "sun_supported")].change)


def test_evidence_is_said_in_words_and_not_by_colour_alone() -> None:
    html = table(_run())
    assert html.count("▲ more") == 2
    assert html.count("the reference") == 2
    assert "stable by both potentials" in html


def test_without_a_judge_the_one_potential_is_named() -> None:
    run = replace(_run(judged=0), config=Config(judge=JudgeSettings(potential=None)))
    assert "stable by CHGNet alone" in table(run)
    assert "stable_by_both" not in set(records(run)["quantity"])


@pytest.mark.parametrize("counts", [{"sft": 6}, {"base": 6}])
def test_a_run_without_base_or_without_others_has_no_change(counts: dict[str, int]) -> None:
    run = synthetic.run(synthetic.structures(counts))
    assert "against base" not in table(run)
    assert records(run)["change"].isna().all()


def test_the_figure_has_a_point_per_policy_and_criterion() -> None:
    for axis in draw(_run()).axes:
        assert sum(line.get_marker() == "o" for line in axis.lines) == 2


def test_an_empty_run_has_an_empty_figure() -> None:
    run = synthetic.run(synthetic.structures({"base": 1}).head(0), policies=["base"])
    assert draw(run).svg().startswith("<svg")
    assert "–" in table(run)
