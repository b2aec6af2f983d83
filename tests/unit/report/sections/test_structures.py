"""The table of structures."""

from helpers import synthetic

from crystalformer_rl.report.sections.structures import LISTED, section


def test_listing_puts_sun_first_and_is_cut() -> None:
    table = synthetic.structures({"base": LISTED + 5})
    body = section(synthetic.run(table)).body
    assert f"{LISTED} of {LISTED + 5} structures" in body
    flags = [row.split("</td></tr>")[0][-3:] for row in body.split("<tr>")[2:]]
    assert len(flags) == LISTED
    assert flags == sorted(flags, key=lambda word: (word != "SUN", word[0] != "S"))
