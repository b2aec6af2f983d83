"""Files, downloads and potentials that a run reads."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from crystalformer_rl.config import read
from crystalformer_rl.files import write_tensors
from crystalformer_rl.manifest import Entry
from crystalformer_rl.tools.doctor import inputs
from crystalformer_rl.tools.doctor.findings import Finding

CONTENT = b"material_id,cif\n"
ENTRY = Entry(
    url="https://example.org/train.csv",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=None,
    licence="CC0",
    citation="none",
    description="a test",
)
CONFIG = "base_policy: mine\ndataset:\n  sources:\n    all: gone.csv\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def found(raw: dict[str, object], **manifest: Entry) -> dict[str, Finding]:
    names = {name.replace("_", "/") + ".csv": entry for name, entry in manifest.items()}
    findings = inputs.files(read(raw), names, [Path("config.yaml")])
    return {finding.topic: finding for finding in findings}


def test_a_file_of_the_settings(folder: Path) -> None:
    raw = {"dataset": {"sources": {"all": "gone.csv"}}}
    finding = found(raw)["dataset.sources.all"]
    assert finding.status == "problem"
    assert f"put it at {folder}/gone.csv" in finding.change
    assert "config.yaml, line 4: `dataset: sources: all:`" in finding.change
    (folder / "gone.csv").touch()
    assert found(raw)["dataset.sources.all"].status == "ok"


@pytest.mark.parametrize("section", ["hull", "comparison_hull"])
def test_files_of_a_hull(folder: Path, section: str) -> None:
    raw = {section: {"reference": "csv", "files": ["known.csv"]}}
    assert found(raw)[f"{section}.files"].status == "problem"
    (folder / "known.csv").touch()
    assert found(raw)[f"{section}.files"].status == "ok"


def test_a_download(folder: Path) -> None:
    raw = {"dataset": {"sources": {"all": "resources/downloads/mp/train.csv"}}}
    finding = found(raw, mp_train=ENTRY)["download mp/train.csv"]
    assert finding.status == "warning"
    assert ENTRY.url in finding.found
    assert ENTRY.checksum in finding.change
    assert f"put it at {folder}/resources/downloads/mp/train.csv" in finding.change
    path = folder / "resources/downloads/mp/train.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert found(raw, mp_train=ENTRY)["download mp/train.csv"].status == "ok"
    path.write_bytes(CONTENT[:-1])
    finding = found(raw, mp_train=ENTRY)["download mp/train.csv"]
    assert (finding.status, "its sha256 is" in finding.found) == ("problem", True)


def test_a_download_that_is_not_needed(folder: Path) -> None:
    (folder / "a.csv").touch()
    raw = {"dataset": {"sources": {"all": "a.csv"}}}
    assert found(raw, mp_train=ENTRY)["download mp/train.csv"].status == "ok"


def test_a_download_whose_address_was_not_tried(folder: Path) -> None:
    entry = ENTRY.model_copy(update={"tried": False, "sha256": None})
    for path in ("resources/downloads/mp/train.csv", "a.csv"):
        finding = found({"dataset": {"sources": {"all": path}}}, mp_train=entry)
        assert "it was not tried here" in finding["download mp/train.csv"].found


def test_a_base_policy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crystalformer_rl.model.folder.PRETRAINED", folder / "resources/pretrained")
    ours = folder / "resources/pretrained/ours"
    ours.mkdir(parents=True)
    write_tensors(ours / "model.safetensors", {"weight": np.zeros(1)})
    (ours / "model.json").write_text('{"space_group_counts": [0, 1]}')
    assert found({"base_policy": "ours"})["base_policy"].status == "ok"
    finding = found({"base_policy": "mine"})["base_policy"]
    assert finding.status == "problem"
    assert finding.found.endswith("resources/pretrained, which has ours")
    assert finding.change.endswith("or another policy or null: config.yaml, line 1: `base_policy:`")

    (ours / "model.json").write_text('{"space_group_counts": [0, 0]}')
    finding = found({"base_policy": "ours", "rl": {"a": {"space_groups": [1]}}})["base_policy"]
    assert finding.status == "problem"
    assert (
        "ours: the policy has no histogram of space groups, by which sample would" in finding.found
    )
    uniform = {"space_group_weights": "uniform"}
    raw = {"base_policy": "ours", "sample": uniform, "rl": {"a": uniform}}
    assert found(raw)["base_policy"].status == "ok"


def test_potentials(folder: Path) -> None:
    config = read({"judge": {"potential": "mace:gone.model"}})
    chgnet, mace = inputs.potentials(config, [Path("config.yaml")], device="cpu")
    assert (chgnet.topic, chgnet.status) == ("potential chgnet", "ok")
    assert (mace.topic, mace.status) == ("potential mace:gone.model", "problem")
    assert "config.yaml: `judge: potential:`" in mace.change


def test_the_potential_of_a_reward_is_tried_once(folder: Path) -> None:
    force = {"kind": "force", "potential": "mace:gone.model"}
    parts = {"calm": {"reward": force}, "stable": {"reward": {"kind": "ehull"}}}
    branch = {"reward": {"kind": "combine", "how": "sum", "parts": parts}}
    config = read({"judge": {"potential": None}, "rl": {"a.b": branch, "c": {"reward": force}}})
    found = list(inputs.potentials(config, [Path("config.yaml")], device="cpu"))
    assert [one.topic for one in found] == ["potential chgnet", "potential mace:gone.model"]
    assert "`rl: a.b: reward: parts: calm: reward: potential:`" in found[1].change
