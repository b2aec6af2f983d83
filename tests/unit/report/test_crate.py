"""Metadata of a run as RO-Crate, read by the package ``rocrate``."""

import json
from pathlib import Path

import pytest
from helpers import synthetic
from rocrate.rocrate import ROCrate

from crystalformer_rl.report.crate import LICENCE, NAME, PAPER, crate

FILES = {
    "report/index.html": "The page",
    "report/figures/": "The figures",
    "evaluate/structures.parquet": "The table",
}


@pytest.fixture
def found(tmp_path: Path) -> ROCrate:
    """The crate of a run, read from a folder that has its files."""
    records = {name: synthetic.record(name) for name in ("pretrain", "evaluate")}
    records["evaluate"]["started"] = "2026-02-03T04:05:06Z"
    run = synthetic.run(synthetic.structures({"base": 3}), provenance=records)
    for path in FILES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).mkdir() if path.endswith("/") else (tmp_path / path).touch()
    text = json.dumps(crate(run, description="One line", files=FILES))
    (tmp_path / NAME).write_text(text, encoding="utf-8")
    return ROCrate(tmp_path)


def test_the_root_says_what_the_required_properties_ask(found: ROCrate) -> None:
    root = found.root_dataset
    assert root["name"] == "CrystalFormer-RL: run default"
    assert root["description"] == "One line"
    assert found.license.id == LICENCE["@id"]
    assert root["citation"].id == PAPER
    assert root["datePublished"] == "2026-02-03"


def test_every_file_is_a_part_with_a_description(found: ROCrate) -> None:
    parts = {part.id: part for part in found.root_dataset["hasPart"]}
    assert {name: part["description"] for name, part in parts.items()} == FILES
    assert {name: part.type for name, part in parts.items() if part.type == "Dataset"} == {
        "report/figures/": "Dataset"
    }
    assert parts["report/index.html"]["encodingFormat"] == "text/html"


def test_the_run_made_the_files_with_the_workflow(found: ROCrate) -> None:
    action = found.dereference("#run")
    assert {one.id for one in action["result"]} == set(FILES)
    assert action["instrument"]["version"] == synthetic.record("any")["git_commit"]
    assert action["startTime"] == "2026-01-01T00:00:00Z"


def test_every_reference_is_resolved(found: ROCrate) -> None:
    known = {entity.id for entity in found.get_entities()}
    graph = json.loads((Path(found.source) / NAME).read_text(encoding="utf-8"))["@graph"]
    named = {
        one["@id"]
        for entity in graph
        for name, values in entity.items()
        if name != "conformsTo"
        for one in (values if isinstance(values, list) else [values])
        if isinstance(one, dict)
    }
    assert named <= known
