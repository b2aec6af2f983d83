"""Seeds by name, and the record of a stage."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.files import read_json
from crystalformer_rl.jobs.fingerprint import fingerprint
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.seeds import derive_seed, file_digest

names = st.lists(st.one_of(st.text(max_size=8), st.integers(0, 10**6)), max_size=4)


@given(st.integers(0, 2**63), names)
def test_a_seed_is_a_function_of_the_name(seed: int, parts: list[str | int]) -> None:
    assert derive_seed(seed, *parts) == derive_seed(seed, *parts)
    assert 0 <= derive_seed(seed, *parts) < 2**63


@given(names, names)
def test_other_names_have_other_seeds(one: list[str | int], other: list[str | int]) -> None:
    assert (derive_seed(0, *one) == derive_seed(0, *other)) == (one == other)


def test_seeds_stay_what_they_were() -> None:
    """A change here would change every result of every run."""
    assert derive_seed(0, "sample", "base", 3) == 4060528945604969145


def test_the_record(tmp_path: Path) -> None:
    source = tmp_path / "input.txt"
    source.write_text("abc")
    provenance = Provenance(
        "crystalformer_rl.stages.sample",
        settings={"b": 1, "a": 2},
        inputs={"one": source, "many": [source]},
        seed=5,
    )
    provenance.write(tmp_path / "provenance.json", items=10, failed=1)
    record = read_json(tmp_path / "provenance.json")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert record["stage"] == "sample"
    assert record["code"] == fingerprint("crystalformer_rl.stages.sample")
    assert record["inputs"]["one"] == [{"path": str(source), "sha256": digest}]
    assert file_digest(source) == digest
    assert record["counts"] == {"items": 10, "failed": 1}
    assert record["seed"] == 5
    assert record["items_per_s"] > 0
    assert record["cpu_s"] > 0
    assert record["packages"]["numpy"]
    assert record["peak_memory_mib"] > 1
    assert record["settings"] == {"a": 2, "b": 1}


def test_a_gpu_is_recorded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A100")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 * 2**20)
    records = {}
    for device in ("cpu", "cuda"):
        module = "crystalformer_rl.stages.sample"
        Provenance(module, settings={}, inputs={}, device=device).write(tmp_path / device)
        records[device] = read_json(tmp_path / device)
    assert (records["cuda"]["gpu"], records["cuda"]["cuda"]) == ("A100", "13.0")
    assert records["cuda"]["gpu_memory_mib"] == 3
    assert not {"gpu", "gpu_memory_mib"} & set(records["cpu"])


def test_the_packages_of_the_potential_are_recorded(tmp_path: Path) -> None:
    for potential, found in (("chgnet", True), ("nequix:weights.nqx", False), (None, False)):
        module = "crystalformer_rl.stages.relax"
        provenance = Provenance(module, settings={}, inputs={}, potential=potential)
        provenance.write(tmp_path / "provenance.json")
        packages = read_json(tmp_path / "provenance.json")["packages"]
        assert ("chgnet" in packages) == found
        assert ("torch-geometric" in packages) == (potential == "nequix:weights.nqx")
        assert not found or packages["chgnet"]


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.txt"):
        Provenance(
            "crystalformer_rl.stages.sample", settings={}, inputs={"x": tmp_path / "gone.txt"}
        )
