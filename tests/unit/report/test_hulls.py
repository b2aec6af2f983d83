"""The hulls in which something was found, against this project's own hull and known numbers."""

import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition

from crystalformer_rl.report import hulls
from crystalformer_rl.stability.hull import Hull

ENTRIES = pd.DataFrame(
    [
        ("Li2O", -2.0, "a"), ("Li2O2", -1.6, "b"), ("LiO2", -0.5, "c"), ("Li2O", -1.9, "polymorph"),
        ("Na2O", -1.4, "d"), ("NaO2", -0.9, "e"), ("Na2O2", -1.3, "f"), ("LiNaO", -1.6, "g"),
        ("Li3NaO2", -1.85, "h"), ("KCl", -2.2, "i"), ("Na", 0.1, "j"),
    ],
    columns=hulls.NEEDED,
)  # fmt: skip
ELEMENTS = ("Li", "Na", "O", "K", "Cl")


def finds(*rows: tuple[str, float, bool, bool]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["formula", "e_above_hull", "stable", "sun"])


@pytest.mark.parametrize("formula", ["Li3O2", "LiNaO2"])
def test_energies_above_hull_are_those_of_the_hull_that_the_run_used(formula: str) -> None:
    own = Hull(ENTRIES["formula"], ENTRIES["formation_energy_per_atom"], elements=ELEMENTS)
    (found,) = hulls.systems(finds((formula, 0.05, True, True)), ENTRIES)
    compositions = [Composition(one.formula) for one in (*found.phases, *found.finds)]
    above = [one.above for one in (*found.phases, *found.finds)]
    energies = [one.energy for one in (*found.phases, *found.finds)]
    np.testing.assert_allclose(
        own.e_above_hull(compositions, energies).e_above_hull, above, atol=1e-9
    )


def test_a_binary_hull_has_its_vertices_and_lines() -> None:
    (found,) = hulls.systems(finds(("Li3O2", 0.05, True, True)), ENTRIES)
    assert found.elements == ("Li", "O")
    assert [one.formula for one in found.phases] == ["Li", "O", "Li2O", "Li2O2", "LiO2"]
    on = {one.formula for one in found.phases if one.above == 0}
    # Li2O2 at x = 1/2: -1.6 is below the line from Li2O (x = 1/3, -2) to O, -1.5. LiO2 at
    # x = 2/3: -0.5 is above the line from Li2O2 to O, -1.0667.
    assert on == {"Li", "O", "Li2O", "Li2O2"}
    (last,) = [one for one in found.phases if one.formula == "LiO2"]
    assert last.above == pytest.approx(1.6 * 2 / 3 - 0.5)
    names = [{found.phases[i].formula for i in pair} for pair in found.lines]
    assert sorted(map(sorted, names)) == [["Li", "Li2O"], ["Li2O", "Li2O2"], ["Li2O2", "O"]]
    (find,) = found.finds
    assert {found.phases[i].formula for i in find.rivals} == {"Li2O", "Li2O2"}
    # A fifth of the way to Li2O2 of oxygen 1/3 + 2/5 (1/2 - 1/3) = 0.4, and 0.05 above.
    assert find.energy == pytest.approx(-2.0 + 0.4 * 0.4 + 0.05)


def test_the_system_of_the_best_find_comes_first_and_of_artefacts_and_known_ones_last() -> None:
    table = finds(
        ("KCl", 0.0, True, False), ("LiNaO2", -0.5, True, True), ("Li3O2", 0.02, True, True),
        ("Na3O2", -0.01, True, True), ("NaO", 0.3, False, False), ("LiNaKCl", 0.0, True, True),
        (None, np.nan, False, False),
    )  # fmt: skip
    found = hulls.systems(table, ENTRIES)
    assert [one.name for one in found] == ["Na–O", "Li–O", "Na–Li–O", "K–Cl"]
    assert [one.row for system in found for one in system.finds] == [3, 2, 1, 0]


def test_the_block_for_the_browser_names_every_phase_and_find() -> None:
    found = hulls.systems(finds(("LiNaO2", 0.0123, True, True)), ENTRIES)
    (one,) = json.loads(hulls.encoded(found))
    assert one["elements"] == ["Na", "Li", "O"]
    assert len(one["phases"]) == len(found[0].phases) == 11
    row, amounts, energy, rivals = one["finds"][0]
    assert (row, sum(amounts)) == (0, 4)
    assert energy == pytest.approx(1000 * found[0].finds[0].energy, abs=0.06)
    assert len(rivals) <= 3
