"""The rows of the table for the browser."""

import json
from typing import Any

import numpy as np
import pandas as pd
from helpers import synthetic

from crystalformer_rl.report.block import FLAGS, TURNED, encoded


def _decoded(table: pd.DataFrame) -> dict[str, Any]:
    found = json.loads(encoded(table, {"base": "#000000"}, {225: "225 Fm-3m"}))
    found["column"] = {column["name"]: column for column in found["columns"]}
    return dict(found)


def test_every_row_and_value_is_in_the_block() -> None:
    table = synthetic.structures({"base": 30})
    found = _decoded(table)
    assert found["rows"] == len(found["passed"]) == 30
    assert found["column"]["id"]["values"] == table["id"].tolist()
    energies = np.array(found["column"]["e_above_hull"]["values"], dtype=float)
    assert np.allclose(energies, table["e_above_hull"].astype(float), atol=6e-4, equal_nan=True)
    groups = found["column"]["space_group"]
    assert groups["kind"] == "group"
    assert groups["values"] == table["space_group"].tolist()


def test_repeated_texts_are_stored_once() -> None:
    table = synthetic.structures({"base": 30}).assign(failure=[None, "relax: lost"] * 15)
    failure = _decoded(table)["column"]["failure"]
    assert failure["words"] == [None, "relax: lost"]
    assert failure["values"] == [0, 1] * 15


def test_flags_are_bits_in_their_order() -> None:
    table = synthetic.structures({"base": 30})
    found = _decoded(table)
    names = [one["name"] for one in found["flags"]]
    assert names == [name for name in FLAGS if name in table]
    for place, name in enumerate(names):
        assert [bool(bits >> place & 1) for bits in found["passed"]] == table[name].tolist()


def test_a_crystal_is_the_relaxed_one_or_null() -> None:
    table = synthetic.structures({"base": 30})
    found = _decoded(table)
    assert [one is not None for one in found["crystals"]] == table["decoded"].tolist()
    drawn = {number for one in found["crystals"] if one for number in one["atoms"][::4]}
    assert {int(number) for number in found["elements"]} == drawn


def test_only_the_first_crystals_have_atoms() -> None:
    table = pd.DataFrame({"id": [str(i) for i in range(TURNED + 5)], "policy": "base"})
    assert len(_decoded(table)["crystals"]) == TURNED


def test_an_empty_table_is_an_empty_block() -> None:
    found = _decoded(synthetic.structures({"base": 1}).head(0))
    assert (found["rows"], found["passed"], found["crystals"]) == (0, [], [])
