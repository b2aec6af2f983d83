"""The import-checkpoint verb: a published checkpoint becomes a base policy."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers.policies import TINY

from crystalformer_rl.cli import main
from crystalformer_rl.files import read_json, write_json
from crystalformer_rl.model.folder import policy_folder
from crystalformer_rl.model.policy import Policy

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden_model.pkl"


def test_a_policy_with_the_published_densities(tmp_path: Path) -> None:
    histogram = tmp_path / "space_groups.json"
    write_json(histogram, {"train": {"62": 3, "225": 1}, "val": {}, "test": {}})
    out = tmp_path / "policy"
    main(["import-checkpoint", str(GOLDEN), "--out", str(out), "--space-groups", str(histogram)])
    policy = Policy.load(out)
    assert policy.num_parameters == 53175
    assert policy.settings.lattice_density == "per_dimension"
    assert policy.settings.coordinate_density == "published"
    assert np.flatnonzero(policy.space_group_counts).tolist() == [62, 225]
    assert policy.space_group_counts[62] == 3
    record = read_json(out / "provenance.json")
    assert record["counts"]["parameters"] == 53175
    assert list(record["inputs"]) == ["checkpoint", "space_groups"]


def test_the_histogram_of_another_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import-checkpoint", str(GOLDEN), "--out"]
    main([*words, str(tmp_path / "a"), "--space-groups", "mp20-small"])
    main([*words, str(tmp_path / "b"), "--space-groups", str(tmp_path / "a")])
    assert "--space-groups" not in capsys.readouterr().err
    shipped = Policy.load(policy_folder("mp20-small")).space_group_counts
    for name in ("a", "b"):
        imported = Policy.load(tmp_path / name)
        assert imported.space_group_counts.tolist() == shipped.tolist()
        assert imported.settings.dropout == 0.1


def test_without_a_histogram_the_log_says_what_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["import-checkpoint", str(GOLDEN), "--out", str(tmp_path / "a")])
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "--space-groups" in line]
    assert " WARNING " in said
    assert "samples from named groups work; sample, sft and rl with their default" in said
    assert not Policy.load(tmp_path / "a").space_group_counts.any()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "policy 'nowhere': no folder with model.safetensors"),
        ("without", "without/model.json: this policy has no space-group histogram either"),
        ("space_groups.json", "counts of the split train must not be negative or all 0"),
    ],
)
def test_where_no_histogram_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Policy(TINY).save(tmp_path / "without")
    write_json(tmp_path / "space_groups.json", {"train": {"225": 0}})
    with pytest.raises(SystemExit):
        main(["import-checkpoint", str(GOLDEN), "--out", "policy", "--space-groups", source])
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "policy").exists()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("cut", "damaged or not a checkpoint"),
        ("code", "it names posix.system"),
        ("missing", "epoch_000001.pkl: no such file"),
        ("folder", "epoch_000001.pkl: a folder, must be a file"),
        ("heads", "not a multiple of 7 heads"),
        ("histogram", "not a space_groups.json of a tokenize stage"),
        ("group", "space group 231 must be 1 to 230"),
    ],
)
def test_faults_end_with_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, message: str
) -> None:
    file, more = tmp_path / "epoch_000001.pkl", []
    histogram = tmp_path / "space_groups.json"
    whole = GOLDEN.read_bytes()
    if fault == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif fault == "folder":
        file.mkdir()
    elif fault == "code":
        file.write_bytes(pickle.dumps({"params": _Harmful(tmp_path / "ran")}))
    elif fault != "missing":
        file.write_bytes(whole)
        if fault == "heads":
            more = ["--heads", "7"]
        else:
            write_json(histogram, {"train": {"231": 1}} if fault == "group" else [1, 2])
            more = ["--space-groups", str(histogram)]
    with pytest.raises(SystemExit) as stop:
        main(["import-checkpoint", str(file), "--out", str(tmp_path / "policy"), *more])
    assert stop.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if " ERROR " in line]
    assert message in line
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "policy" / "model.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer: fetch"),
        (b"\n<!DOCTYPE html><p>Sign in", "it is an HTML page"),
        (b'<?xml version="1.0"?><Error>AccessDenied', "it is an XML page"),
        (b"PK\x03\x04" + bytes(100), "it is a zip archive (files of PyTorch and NumPy"),
        (b"\x1f\x8b" + bytes(100), "it is compressed with gzip: decompress it"),
        (b"", "it is empty"),
        (b'{"params": 1}', "it is no pickle, but starts with"),
        (b"\x90" + bytes(7) + b'{"__metadata__":{}}', "it is no pickle, but starts with"),
    ],
)
def test_another_file_in_place_of_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    file = tmp_path / "epoch_000001.pkl"
    file.write_bytes(content)
    with pytest.raises(SystemExit):
        main(["import-checkpoint", str(file), "--out", str(tmp_path / "policy")])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if " ERROR " in line]
    assert f"epoch_000001.pkl: damaged or not a checkpoint: {message}" in line


def test_a_folder_with_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import-checkpoint", str(GOLDEN), "--out", str(tmp_path / "policy")]
    main(words)
    main(words)  # an earlier import is replaced
    (tmp_path / "policy" / "history.parquet").write_text("of a training")
    before = (tmp_path / "policy" / "model.json").stat().st_mtime_ns
    (tmp_path / "file").touch()
    for out, message in (
        (tmp_path / "policy", "the folder holds something else (history.parquet)"),
        (tmp_path / "file", "a file, must be a folder"),
    ):
        with pytest.raises(SystemExit):
            main([*words[:-1], str(out)])
        assert f"--out {out}: {message}" in capsys.readouterr().err
    assert (tmp_path / "policy" / "model.json").stat().st_mtime_ns == before


class _Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._trace}",)
