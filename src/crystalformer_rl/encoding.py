"""Decoding of text files with unknown encoding; names for files that are not text."""

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What a failed download leaves in the place of a file, by its first bytes.
_IMPOSTORS = (
    ("version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    ("<!doctype html", "an HTML page: was a sign-in needed for the download?"),
    ("<html", "an HTML page: was a sign-in needed for the download?"),
    ("pk\x03\x04", "a zip archive: unpack it"),
    ("\x1f\x8b", "compressed with gzip: its name must end in .gz"),
)


def decoded(data: bytes) -> str:
    """The text of a file in UTF-8, UTF-16, UTF-32 or (whatever is none of them) Latin-1.

    Raises
    ------
    ValueError
        If it has zero bytes, or is an LFS pointer, an HTML page or an archive.
    """
    refuse_impostor(data)
    for encoding in _encodings(data):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            raise ValueError(
                f"it has a zero byte at character {text.index(chr(0))}: is it damaged?"
            )
        return text
    raise ValueError("its encoding is unknown: save it as UTF-8")


def refuse_impostor(data: bytes) -> None:
    """Raise ValueError if a file starts like an LFS pointer, an HTML page or an archive."""
    start = data[:64].decode("latin-1").lstrip("\xef\xbb\xbf \t\r\n").lower()
    for mark, name in _IMPOSTORS:
        if start.startswith(mark):
            raise ValueError(f"it is {name}")


def encoding_of(start: bytes) -> str | None:
    """The encoding that a byte order mark states, or None."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), None)


def _encodings(data: bytes) -> list[str]:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return [name]
    # Without a mark, text in UTF-16 shows by its zero bytes: every other one.
    sample = data[:200]
    if len(sample) > 4 and not any(sample[1::2]):
        return ["utf-16-le"]
    if len(sample) > 4 and not any(sample[0::2]):
        return ["utf-16-be"]
    return ["utf-8", "latin-1"]
