"""Recognise files by their first bytes: LFS pointers, pages or archives instead of the file."""

from pathlib import Path

START = 512
"""Bytes that :func:`signature` needs."""
_POINTER = "a Git LFS pointer: fetch the file itself with `git lfs pull`"
_PAGE = "an HTML page: was a sign-in needed for the download?"
_XML = "an XML page: is it the error message of a server?"
# Never the file itself: what a clone without LFS or a failed download leaves.
_STAND_INS = (
    (b"version https://git-lfs", _POINTER),
    (b"<!doctype html", _PAGE),
    (b"<html", _PAGE),
    (b"<head", _PAGE),
    (b"<?xml", _XML),
)
_COMPRESSED = (
    "compressed with {}: decompress it, or give a table, CIF or POSCAR a name that ends in {}"
)
_ARCHIVES = (
    (b"PK\x03\x04", "a zip archive (files of PyTorch and NumPy are such archives too): unpack it"),
    (b"\x1f\x8b", _COMPRESSED.format("gzip", ".gz")),
    (b"BZh", _COMPRESSED.format("bzip2", ".bz2")),
    (b"\xfd7zXZ\0", _COMPRESSED.format("xz", ".xz")),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: decompress it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"%PDF-", "a PDF document"),
)
_TAR = slice(257, 262)


def signature(start: bytes) -> str | None:
    """What a file is that starts like this, if no file that is read here starts so; else None."""
    if found := stand_in(start):
        return found
    if start[_TAR] == b"ustar":
        return "a tar archive: unpack it"
    return next((name for mark, name in _ARCHIVES if start.startswith(mark)), None)


def stand_in(start: bytes) -> str | None:
    """What a file is that is never the wanted one: an LFS pointer or a page; else None."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((name for mark, name in _STAND_INS if text.startswith(mark)), None)


def start_of(path: Path) -> bytes:
    """The first bytes of a file."""
    with Path(path).open("rb") as stream:
        return stream.read(START)


def explained(path: Path, error: object, *, compressed: bool = False) -> str:
    """Why a file cannot be read: what it is, where its first bytes show that, else ``error``.

    ``compressed``: the file is to be compressed, and its first bytes may say so.
    """
    return explained_start(start_of(path), error, compressed=compressed)


def explained_start(start: bytes, error: object, *, compressed: bool = False) -> str:
    """The same for the first bytes of a file."""
    if not start:
        return "it is empty"
    found = stand_in(start) if compressed else signature(start)
    return f"it is {found}" if found else str(error)
