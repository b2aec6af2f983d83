"""Whether a run can start from a policy, decided without loading it."""

from pathlib import Path

import numpy as np
import pytest
from helpers.policies import TINY

from crystalformer_rl.model.folder import check_policy
from crystalformer_rl.model.policy import Policy

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def test_a_histogram_is_needed_where_something_samples_by_it(tmp_path: Path) -> None:
    Policy(TINY, space_group_counts=np.ones(231, dtype=np.int64)).save(tmp_path)
    check_policy(tmp_path, by_histogram=["sample", "rl.a"])
    Policy(TINY).save(tmp_path)
    check_policy(tmp_path, by_histogram=[])
    with pytest.raises(ValueError, match=r"no histogram .* by which sample, rl.a would") as e:
        check_policy(tmp_path, by_histogram=["sample", "rl.a"])
    for way in ("(space_groups)", "space_group_weights: uniform", "--space-groups mp20-small"):
        assert way in str(e.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON: it is empty"),
        (POINTER, "not valid JSON: it is a Git LFS pointer"),
        ("{}", "not the description of a policy"),
        ("[]", "not the description of a policy"),
        ('{"space_group_counts": 3}', "not the description of a policy"),
    ],
)
def test_a_damaged_description(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ValueError, match=rf"/model.json: {message}"):
        check_policy(tmp_path, by_histogram=[])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (POINTER.encode(), "it is a Git LFS pointer"),
        (b"", "it is empty"),
        (b"PK\x03\x04" + bytes(100), "it is a zip archive"),
    ],
)
def test_weights_that_are_another_file(tmp_path: Path, content: bytes, message: str) -> None:
    Policy(TINY).save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    for read in (lambda: check_policy(tmp_path, by_histogram=[]), lambda: Policy.load(tmp_path)):
        with pytest.raises(ValueError, match=rf"model.safetensors: not a readable .*: {message}"):
            read()


def test_weights_that_are_cut_off(tmp_path: Path) -> None:
    Policy(TINY).save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"model.safetensors: not a readable safetensors file"):
        check_policy(tmp_path, by_histogram=[])


def test_no_description(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"/model.json: no such file"):
        check_policy(tmp_path, by_histogram=[])
