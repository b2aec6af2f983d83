"""S.U.N. by space group."""

from helpers import synthetic

from crystalformer_rl.report.sections.space_groups import group_label, sun_by_group


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
