"""optimade.yaml: what optimade-maker 1.0.0 demands of it, and the properties of every CIF."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from crystalformer_rl.files import read_json
from crystalformer_rl.tools.export.optimade import write_optimade

# The fields of PropertyDefinition that we use, and the types, in optimade_maker/config.py.
FIELDS = {"name", "title", "description", "unit", "type"}
PYTHON = {"string": str, "boolean": bool, "integer": int, "float": float}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = pd.DataFrame(
        {
            "id": ["base-0", "set.1/x"],
            "num_atoms": pd.array([2, None], dtype="Int64"),
            "e_above_hull": [0.05, float("nan")],
            "stable": [True, False],
            "matched_id": [None, "mp-1"],
            "numbers": [[11, 17], [11, 17]],
        }
    )
    write_optimade(tmp_path, table)
    return tmp_path


def entry(folder: Path) -> dict[str, Any]:
    description = yaml.safe_load((folder / "optimade.yaml").read_text(encoding="utf-8"))
    assert set(description) == {"config_version", "database_description", "entries"}
    assert description["config_version"] == "0.2.0"
    (found,) = description["entries"]
    return dict(found)


def test_the_description_names_files_and_properties(folder: Path) -> None:
    found = entry(folder)
    assert found["entry_type"] == "structures"
    assert found["entry_paths"] == [{"path": "cifs", "matches": ["*.cif"]}]
    assert found["property_paths"] == [{"path": "properties.json"}]
    definitions = found["property_definitions"]
    assert all(set(one) <= FIELDS for one in definitions)
    assert all(re.fullmatch("[a-z][a-z_0-9]*", one["name"]) for one in definitions)
    units = {one["name"]: one.get("unit") for one in definitions}
    assert units == {
        "id": None, "num_atoms": None, "e_above_hull": "eV/atom", "stable": None,
        "matched_id": None,
    }  # fmt: skip


def test_properties_are_of_the_type_that_is_defined(folder: Path) -> None:
    types = {one["name"]: PYTHON[one["type"]] for one in entry(folder)["property_definitions"]}
    properties = read_json(folder / "properties.json")
    assert properties["base-0"] == {
        "id": "base-0", "num_atoms": 2, "e_above_hull": 0.05, "stable": True, "matched_id": None,
    }  # fmt: skip
    for values in properties.values():
        assert set(values) == set(types)
        for name, value in values.items():
            assert value is None or type(value) is types[name]


def test_properties_are_named_as_the_files(folder: Path) -> None:
    assert set(read_json(folder / "properties.json")) == {"base-0", "set%2E1%2Fx"}
