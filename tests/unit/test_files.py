"""Result files: whole or not at all."""

import errno
import os
import resource
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from crystalformer_rl.files import (
    MAPPED_TYPES,
    atomic,
    map_tensors,
    read_json,
    read_table,
    read_tensors,
    write_json,
    write_table,
    write_tensors,
)


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic(target) as temporary:
        temporary.write_text("new, unfinished")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), atomic(target) as temporary:
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_text("new" * 10_000)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


WRITERS = {
    "json": lambda path: write_json(path, {"x": [1] * 1000}),
    "table": lambda path: write_table(
        path, pd.DataFrame({"x": np.random.default_rng(0).random(1000)})
    ),
    "tensors": lambda path: write_tensors(path, {"x": np.zeros(1000)}),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("writer", WRITERS)
def test_what_does_not_fit_is_an_error_that_names_the_file(tmp_path: Path, writer: str) -> None:
    target = tmp_path / "result"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=f"{target}: cannot be written: .*File too large"):
            WRITERS[writer](target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("mask", [0o002, 0o027, 0o077])
def test_files_and_folders_follow_the_umask(
    tmp_path: Path, umask: Callable[[int], int], writer: str, mask: int
) -> None:
    umask(mask)
    target = tmp_path / "a/b/result"
    for _ in range(2):
        WRITERS[writer](target)
        assert target.stat().st_mode & 0o777 == 0o666 & ~mask
    assert {path.stat().st_mode & 0o777 for path in target.parents[:2]} == {0o777 & ~mask}


def test_a_folder_of_a_group_stays_the_group_s(tmp_path: Path, umask: Callable[[int], int]) -> None:
    groups = {*os.getgroups(), os.getgid()} if os.getuid() else {os.getgid() + 1}
    group = max(groups)
    try:
        os.chown(tmp_path, -1, group)
    except OSError as error:
        pytest.skip(f"this user may not give a folder to group {group}: {error}")
    tmp_path.chmod(0o2775)
    umask(0o002)
    write_json(tmp_path / "cache/answers.json", {})
    for path in (tmp_path / "cache", tmp_path / "cache/answers.json"):
        assert path.stat().st_gid == group
        assert path.stat().st_mode & stat.S_IWGRP
    assert (tmp_path / "cache").stat().st_mode & stat.S_ISGID


def test_a_table_comes_back(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["a", "b"], "numbers": [[1, 2], None], "energy": [0.5, np.nan]})
    write_table(tmp_path / "t.parquet", table)
    back = read_table(tmp_path / "t.parquet")
    assert list(back["id"]) == ["a", "b"]
    assert list(back["numbers"][0]) == [1, 2]
    assert back["numbers"][1] is None
    assert read_table(tmp_path / "t.parquet", columns=["id"]).shape == (2, 1)


def test_tensors_come_back(tmp_path: Path) -> None:
    arrays = {"x": np.arange(6).reshape(2, 3)[:, ::2], "y": np.zeros(0)}
    write_tensors(tmp_path / "t.safetensors", arrays, {"note": "n"})
    back = read_tensors(tmp_path / "t.safetensors")
    assert set(back) == {"x", "y"}
    assert np.array_equal(back["x"], arrays["x"])


def test_json_is_the_same_text_for_the_same_value_and_holds_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": 2})
    write_json(tmp_path / "b.json", {"a": 2, "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "c.json", {"x": float("nan")})
    assert not (tmp_path / "c.json").exists()


def test_mapped_tensors_are_those_that_were_written(tmp_path: Path) -> None:
    arrays = {f"of type {kind}": np.arange(2).astype(kind) for kind in MAPPED_TYPES.values()}
    arrays |= {"table": np.random.default_rng(0).random((5, 3)), "none": np.zeros((0, 3))}
    arrays |= {"odd": np.zeros(3, np.uint8)}
    write_tensors(tmp_path / "t.safetensors", arrays, {"note": "n"})
    mapped = map_tensors(tmp_path / "t.safetensors")
    assert mapped.keys() == arrays.keys()
    for name, array in arrays.items():
        assert mapped[name].dtype == array.dtype
        assert np.array_equal(mapped[name], array)
        assert not mapped[name].flags.writeable


@pytest.mark.parametrize("length", [0, 7, 30, -1, 1])
def test_mapped_file_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"x": np.arange(5)})
    data = path.read_bytes()
    path.write_bytes(data + b"0" if length == 1 else data[:length])
    with pytest.raises(ValueError, match=r"t\.safetensors: not a readable safetensors file"):
        map_tensors(path)


def test_mapped_type_that_numpy_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_file({"x": torch.zeros(3, dtype=torch.bfloat16)}, path)
    with pytest.raises(ValueError, match=r"t\.safetensors: array x is BF16, allowed: BOOL"):
        map_tensors(path)


@pytest.mark.parametrize("read", [read_table, read_tensors, map_tensors, read_json])
def test_a_damaged_or_missing_file_is_named(tmp_path: Path, read: object) -> None:
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(b"PAR1 half of it")
    with pytest.raises(ValueError, match=r"damaged\.bin"):
        read(damaged)  # type: ignore[operator]
    with pytest.raises(FileNotFoundError, match=r"missing\.bin"):
        read(tmp_path / "missing.bin")  # type: ignore[operator]


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", pd.DataFrame({"a": [1]}))
    with pytest.raises(ValueError, match=r"t\.parquet"):
        read_table(tmp_path / "t.parquet", columns=["b"])
