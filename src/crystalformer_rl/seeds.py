"""Seeds derived by name, and digests of files."""

import hashlib
import json
from pathlib import Path


def derive_seed(seed: int, *names: str | int) -> int:
    """Derive a seed: a 63-bit hash of the run's seed and the given names.

    >>> derive_seed(0, "sample", "base", 3) == derive_seed(0, "sample", "base", 3)
    True
    """
    text = json.dumps([seed, *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
