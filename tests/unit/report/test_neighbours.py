"""The known crystals next to the structures."""

import pandas as pd
from helpers import synthetic
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.report.neighbours import ids, neighbours

ROWS = pd.DataFrame(
    {"matched_id": [None, "b", None, None], "nearest_known_id": ["a", "a", None, "lost"]}
)


def dataset() -> pd.DataFrame:
    rock_salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    crystals = structure_columns([rock_salt.get_primitive_structure()] * 3)
    return pd.DataFrame(
        {"id": ["c", "b", "a"], "formula": "NaCl", **crystals, "band_gap": [1.0, 5.003, None]}
    )


def test_a_match_is_shown_before_the_nearest() -> None:
    assert ids(ROWS) == ["a", "b", None, "lost"]


def test_crystals_that_are_needed_are_shown_once_in_the_conventional_cell() -> None:
    found = neighbours(ROWS, dataset())
    assert [one["id"] for one in found["known"]] == ["b", "a"]
    assert found["beside"] == [1, 0, None, None]
    assert {one["group"] for one in found["known"]} == {225}
    assert [len(one["atoms"]) for one in found["known"]] == [4 * 8, 4 * 8]
    assert [one["labels"] for one in found["known"]] == [[5.0], [None]]
    assert found["labels"] == [("band gap of the dataset", "eV", 2)]


def test_nothing_is_beside_a_structure_without_a_dataset() -> None:
    table = synthetic.structures({"base": 3})
    found = neighbours(table, None)
    assert found == {"known": [], "labels": [], "beside": [None] * 3}
    assert neighbours(table, dataset())["known"] == []
