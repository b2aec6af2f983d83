"""Journal of a shard: finished items survive the end of the process."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class Journal:
    """One line per finished item, appended as soon as it is finished.

    A line is a digest followed by an item and its value as JSON; floats are restored exactly. The
    digest covers the key and the rest of the line, so that a truncated or damaged line, or one
    written under another key, is ignored. A line has been passed to the operating system when
    :meth:`append` returns and survives the process. Lines lost in a crash of the machine are
    computed again.

    Parameters
    ----------
    path
        The file; it may not exist yet.
    key
        Everything a value depends on (settings, digests of inputs and code), serialisable as JSON.

    Attributes
    ----------
    found
        The values that were present when the journal was opened, by item.
    """

    def __init__(self, path: Path, *, key: Mapping[str, Any]) -> None:
        self._path = Path(path)
        self._key = json.dumps(key, sort_keys=True).encode()
        self.found: dict[Any, Any] = {}
        text = self._path.read_bytes() if self._path.exists() else b""
        lines = [line for line in text.split(b"\n") if line]
        for line in lines:
            digest, _, text = line.partition(b" ")
            if digest == self._digest(text):
                entry = json.loads(text)
                self.found[entry["item"]] = entry["value"]
        if len(self.found) < len(lines):
            log.warning(
                "journal %s: ignoring %d of %d lines, which are damaged or belong to other "
                "settings, inputs or code",
                self._path,
                len(lines) - len(self.found),
                len(lines),
            )

    def append(self, item: int | str, value: Any) -> None:
        """Record that ``item`` is finished; ``value`` must be serialisable as JSON.

        Raises
        ------
        OSError
            If the line cannot be written, for example on a full disk; the message names the file.
        """
        text = json.dumps({"item": item, "value": value}).encode()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._path.open("ab") as stream:
                # The newline comes first because the previous line may be truncated.
                stream.write(b"\n" + self._digest(text) + b" " + text)
        except OSError as error:
            raise OSError(f"journal {self._path}: cannot be written: {error}") from error

    def _digest(self, text: bytes) -> bytes:
        return hashlib.sha256(self._key + b"\n" + text).hexdigest()[:32].encode()
