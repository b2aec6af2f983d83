"""Decoding of text files with unknown encoding."""

import codecs

from crystalformer_rl.signatures import START, signature

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(data: bytes) -> str:
    """The text of a file in UTF-8, UTF-16, UTF-32 or (whatever is none of them) Latin-1.

    Raises
    ------
    ValueError
        If it has zero bytes, or is an LFS pointer, an HTML page or an archive.
    """
    if found := signature(data[:START]):
        raise ValueError(f"it is {found}")
    for encoding in _encodings(data):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            raise ValueError(
                f"it has a zero byte at character {text.index(chr(0))}: it is damaged or not text"
            )
        return text
    raise ValueError("its encoding is unknown: save it as UTF-8")


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
