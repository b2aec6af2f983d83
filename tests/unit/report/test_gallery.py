"""The best structures and the table of many."""

from helpers import synthetic

from crystalformer_rl.report.gallery import LISTED, gallery, listing


def test_likely_artefacts_do_not_head_the_gallery() -> None:
    table = synthetic.structures({"base": 12}).assign(sun=True, stable=True)
    energies = [0.01 * place for place in range(12)]
    energies[3] = -0.4
    deep = table["id"][3]
    section, pictures = gallery(table.assign(e_above_hull=energies), count=3)
    before_merit = section.body.split("Highest figure of merit")[0]
    assert deep not in before_merit
    assert "1 S.U.N. structures below −0.1" in before_merit
    assert [name for name in pictures if "sun" in name] == [f"best-sun-{n}" for n in (1, 2, 3)]


def test_cif_of_a_best_structure_is_in_the_page() -> None:
    section, _ = gallery(synthetic.structures({"base": 6}).assign(sun=True), count=1)
    assert "data:text/plain,%23%20generated%20using%20pymatgen" in section.body


def test_listing_puts_sun_first_and_is_cut() -> None:
    table = synthetic.structures({"base": LISTED + 5})
    body = listing(table).body
    assert f"{LISTED} of {LISTED + 5} structures" in body
    flags = [row.split("</tr>")[0].split("<td>")[6][:3] for row in body.split("<tr>")[2:]]
    assert flags == sorted(flags, key=lambda word: (word != "SUN", word[0] != "S"))
