"""S.U.N. by space group."""

from helpers import synthetic

from crystalformer_rl.report.sections.space_groups import (
    SYSTEMS,
    group_label,
    sun_by_group,
    system_table,
)


def test_groups_are_the_most_sampled_in_order() -> None:
    table = synthetic.structures({"base": 60, "sft": 40})
    shares = sun_by_group(synthetic.run(table).policies, groups=3)
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
