"""Files that calls outside a workflow share: what takes long and is the same every time."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path


def user_cache(kind: str, suffix: str, *, key: Mapping[str, str]) -> Path:
    """The file for what depends on ``key`` alone, in the user's cache folder.

    The folder is ``crystalformer-rl`` in ``$XDG_CACHE_HOME``, or else in ``~/.cache``. Nothing is
    made, and everything in it may be deleted.

    Parameters
    ----------
    kind
        What is kept: the folder of the file.
    key
        Everything that the contents depend on, such as digests of the inputs and of the code.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()
    return base / "crystalformer-rl" / kind / f"{digest[:16]}{suffix}"


def writable(path: Path) -> bool:
    """Whether a file can be written there; makes its folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(path.parent, os.W_OK)
