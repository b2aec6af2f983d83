"""S.U.N. by space group."""

import pytest
from helpers import synthetic

from crystalformer_rl.config import Config
from crystalformer_rl.report.sections.space_groups import (
    SYSTEMS,
    by_group,
    group_label,
    section,
    system_table,
)


def test_groups_are_the_most_sampled_in_order() -> None:
    table = synthetic.structures({"base": 60, "sft": 40})
    shares = by_group(synthetic.run(table).policies, groups=3)
    counts = table["space_group"].value_counts()
    numbers = [int(label.split()[0]) for label in shares]
    assert numbers == sorted(numbers)
    assert min(counts[numbers]) >= counts.drop(numbers).max()
    assert sum(part.n for part in next(iter(shares.values())).values()) == counts[numbers[0]]


def test_group_labels_have_proper_screw_axes() -> None:
    assert group_label(194) == "194 P6₃/mmc"
    assert group_label(1) == "1 P1"


def test_every_sample_is_in_one_crystal_system() -> None:
    table = synthetic.structures({"base": 60})
    found = system_table(synthetic.run(table).policies).set_index("system")
    assert list(found.index) == list(SYSTEMS)
    assert found["generated"].sum() == 60
    assert found.loc["cubic", "generated"] == (table["space_group"] >= 195).sum()
    assert found.loc["trigonal", "generated"] == table["space_group"].between(143, 167).sum()
    assert found["sun"].sum() == table["sun"].sum()


@pytest.mark.parametrize(("weights", "shown"), [("uniform", True), ("training", False)])
def test_the_weighted_mean_is_shown_where_groups_were_sampled_equally(
    weights: str, shown: bool
) -> None:
    config = Config.model_validate({"sample": {"space_group_weights": weights}})
    run = synthetic.run(synthetic.structures({"base": 60, "sft": 40}), config=config)
    assert ("each with the weight of the group" in section(run).body) is shown


def test_the_table_of_groups_counts_every_sample_once() -> None:
    run = synthetic.run(synthetic.structures({"base": 60}))
    found = section(run).tables["space_groups"]
    for _, part in found.groupby("quantity"):
        assert part["n"].sum() == 60
    assert found[found["quantity"] == "stable"]["k"].sum() == run.table["stable"].sum()
