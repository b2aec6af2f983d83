"""What a file is by its first bytes."""

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest

from crystalformer_rl.signatures import explained, signature, stand_in


def _tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("NaCl.cif"))
    return stream.getvalue()


def _npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.zeros(3))
    return stream.getvalue()


STAND_INS = [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
    (b"\xef\xbb\xbf\r\n<!DOCTYPE html>", "an HTML page"),
    (b"<HTML><body>", "an HTML page"),
    (b"<head><title>302 Found", "an HTML page"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied', "an XML page"),
]
ARCHIVES = [
    (gzip.compress(b"x", mtime=0), "compressed with gzip"),
    (bz2.compress(b"x"), "compressed with bzip2"),
    (lzma.compress(b"x"), "compressed with xz"),
    (b"\x28\xb5\x2f\xfd\x00", "compressed with zstd"),
    (_tar(), "a tar archive"),
    (_npz(), "a zip archive"),
]


@pytest.mark.parametrize(("start", "name"), STAND_INS + ARCHIVES)
def test_names(start: bytes, name: str) -> None:
    assert (signature(start) or "").startswith(name)


@pytest.mark.parametrize("start", [start for start, _ in ARCHIVES])
def test_an_archive_can_be_the_wanted_file(start: bytes) -> None:
    """As the hull of Alexandria is, which is downloaded as bzip2."""
    assert stand_in(start) is None


@pytest.mark.parametrize(
    "start", [b"", b"data_NaCl\n", b"material_id,cif\n", b"\x80\x04\x95", b"{"]
)
def test_other_files_have_no_name(start: bytes) -> None:
    assert signature(start) is None


def test_the_error_is_told_where_the_start_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"{")
    assert explained(path, ValueError("cut off")) == "cut off"
    path.write_bytes(b"")
    assert explained(path, ValueError("cut off")) == "it is empty"
