"""The differences from the base policy."""

import numpy as np
import pytest
from helpers import synthetic

from crystalformer_rl.report.sections.differences import (
    against_base,
    difference_table,
    differences,
)


def test_a_difference_has_an_interval_of_its_own() -> None:
    """9 of 10 and 3 of 10: 0.1705 to 0.8090 in Newcombe (1998), while Wilson's intervals touch."""
    stable = [*[True] * 3, *[False] * 7, *[True] * 9, False]
    table = synthetic.structures({"base": 10, "rl-ehull": 10}).assign(stable=stable, unique=True)
    run = synthetic.run(table)
    found = {one.name: one for one in differences(run)}
    assert found["stable"].interval.low == pytest.approx(0.1705, abs=5e-5)
    assert found["stable"].excludes_zero
    assert not found["unique"].excludes_zero
    page = against_base(run)
    assert "<strong>+60.0 [17.1, 80.9]</strong>" in page
    assert "<td>0.0 [−27.8, 27.8]</td>" in page
    row = difference_table(run).set_index("quantity").loc["stable"]
    assert row[["difference", "high"]].tolist() == pytest.approx([0.6, 0.8090], abs=5e-5)


def test_means_are_compared_over_the_crystals_that_have_the_number() -> None:
    energies = [0.1, 0.2, 0.3, np.nan, 1.1, 1.3, np.nan, np.nan]
    table = synthetic.structures({"base": 4, "sft": 4}).assign(e_above_hull_initial=energies)
    found = {one.name: one for one in differences(synthetic.run(table))}
    assert found["mean_e_above_hull_initial"].interval.estimate == pytest.approx(1.0)


def test_the_judge_is_compared_where_it_judged_both() -> None:
    table = synthetic.structures({"base": 4, "sft": 4})
    names = {one.name for one in differences(synthetic.run(table))}
    assert "judge_stable" not in names
    run = synthetic.run(table)
    judged = {
        "fractions": {
            name: {"k": 1, "n": 4, "low": 0.0, "high": 0.7}
            for name in ("judge_stable", "sun_judge")
        }
    }
    for entry in run.summary["policies"].values():
        entry["judge"] = judged
    assert {"judge_stable", "sun_judge"} <= {one.name for one in differences(run)}


def test_without_a_base_nothing_is_compared() -> None:
    run = synthetic.run(synthetic.structures({"sft": 5}))
    assert against_base(run) == ""
    assert difference_table(run).empty
