"""The best structures."""

import pandas as pd
from helpers import synthetic

from crystalformer_rl.config import Config, ReportSettings
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.sections.best import best, section


def _section(table: pd.DataFrame, *, count: int) -> Section:
    return section(synthetic.run(table, config=Config(report=ReportSettings(best=count))))


def test_likely_artefacts_do_not_head_the_gallery() -> None:
    table = synthetic.structures({"base": 12}).assign(sun=True, stable=True)
    energies = [0.01 * place for place in range(12)]
    energies[3] = -0.4
    deep = table["id"][3]
    found = _section(table.assign(e_above_hull=energies), count=3)
    before_merit = found.body.split("Highest figure of merit")[0]
    assert deep not in before_merit
    assert "1 S.U.N. structures below −0.1" in before_merit
    assert [name for name in found.figures if "sun" in name] == [f"best-sun-{n}" for n in (1, 2, 3)]


def test_cif_of_a_best_structure_is_in_the_page() -> None:
    found = _section(synthetic.structures({"base": 6}).assign(sun=True), count=1)
    assert "data:text/plain,%23%20generated%20using%20pymatgen" in found.body


def test_crystals_without_a_space_group_are_listed_by_formula() -> None:
    table = synthetic.structures({"a": 2, "b": 1}).assign(
        sun=True, e_above_hull=[0.0, 0.02, 0.01], formula="NaCl", space_group=pd.NA
    )
    found = best(table, by="e_above_hull", among="sun", count=3, descending=False)
    assert found["found_by"].tolist() == ["a, b"]


def test_best_lists_a_crystal_once_and_names_its_finders() -> None:
    frame = pd.DataFrame(
        {
            "id": ["a", "b", "c", "d"],
            "policy": ["base", "sft", "sft", "base"],
            "formula": ["NaCl", "NaCl", "NaN", "MgO"],
            "space_group": [225, 225, 225, 225],
            "sun": [True, True, True, False],
            "e_above_hull": [0.05, 0.01, 0.03, -1.0],
        }
    )
    rows = best(frame, by="e_above_hull", among="sun", count=5, descending=False)
    assert rows["id"].tolist() == ["b", "c"]
    assert rows["found_by"].tolist() == ["sft, base", "sft"]
    merit = best(frame, by="e_above_hull", among="sun", count=1, descending=True)
    assert merit["id"].tolist() == ["a"]
