"""The section on hulls with the finds marked."""

from helpers import synthetic

from crystalformer_rl.report.sections.hulls import section


def test_finds_of_all_systems_are_in_the_table_and_those_of_the_first_in_the_figure() -> None:
    table = synthetic.structures({"base": 30, "sft": 30})
    found = section(synthetic.run(table, hull=synthetic.hull()))
    assert found is not None
    finds = found.tables["hull-finds"]
    assert len(finds) == table["stable"].sum()
    first = finds[finds["system"] == finds["system"].iloc[0]]
    axis = found.figures["hull"].axes[0]
    stars = [line for line in axis.lines if line.get_marker() == "*"]
    assert len(stars) == first["sun"].sum() > 0
    assert axis.get_title(loc="left") == first["system"].iloc[0]


def test_there_is_no_section_without_a_hull_or_a_find() -> None:
    table = synthetic.structures({"base": 6})
    assert section(synthetic.run(table)) is None
    table = table.assign(stable=False, sun=False)
    assert section(synthetic.run(table, hull=synthetic.hull())) is None
