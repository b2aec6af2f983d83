"""The table of structures."""

from helpers import synthetic

from crystalformer_rl.report.sections.structures import ordered, section


def test_sun_comes_first_then_stable_then_by_energy() -> None:
    table = ordered(synthetic.structures({"base": 60}))
    keys = [
        (not row["sun"], not row["stable"], row["e_above_hull"])
        for row in table.to_dict("records")
        if row["e_above_hull"] == row["e_above_hull"]
    ]
    assert keys == sorted(keys)
    assert len(table) == 60


def test_the_section_holds_the_table_and_the_dialog() -> None:
    body = section(synthetic.run(synthetic.structures({"base": 5}))).body
    assert 'id="structures-data"' in body
    assert '<dialog id="crystal"' in body
