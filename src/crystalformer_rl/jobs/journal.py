"""Journal of a shard: what is finished stays finished, whatever ends the process."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class Journal:
    """One line per finished item, appended as soon as it is finished.

    A line is a digest, and an item with its value as JSON; floats survive exactly. The digest is
    of the key and of the rest of the line: a line that is torn, damaged, or written under another
    key is none. A line has left the process when :meth:`append` returns, and so survives its
    death; what a dying machine takes with it is made again.

    Parameters
    ----------
    path
        The file; it need not be there.
    key
        All that a value depends on (settings, digests of inputs and code), ready for JSON.

    Attributes
    ----------
    found
        The values that were there when the journal was opened, by item.
    """

    def __init__(self, path: Path, *, key: Mapping[str, Any]) -> None:
        self._path = Path(path)
        self._key = json.dumps(key, sort_keys=True).encode()
        self.found: dict[int, Any] = {}
        text = self._path.read_bytes() if self._path.exists() else b""
        lines = [line for line in text.split(b"\n") if line]
        for line in lines:
            digest, _, text = line.partition(b" ")
            if digest == self._digest(text):
                entry = json.loads(text)
                self.found[entry["item"]] = entry["value"]
        if len(self.found) < len(lines):
            log.warning(
                "journal %s: %d of %d lines are torn, damaged, or of other settings, inputs or "
                "code, and do not count",
                self._path,
                len(lines) - len(self.found),
                len(lines),
            )

    def append(self, item: int, value: Any) -> None:
        """Note that ``item`` is finished; ``value`` is ready for JSON.

        Raises
        ------
        OSError
            If the line cannot be written, such as on a full disk; the message names the file.
        """
        text = json.dumps({"item": item, "value": value}).encode()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._path.open("ab") as stream:
                # The newline comes first: before it may stand a line that was cut short.
                stream.write(b"\n" + self._digest(text) + b" " + text)
        except OSError as error:
            raise OSError(f"journal {self._path}: cannot be written: {error}") from error

    def _digest(self, text: bytes) -> bytes:
        return hashlib.sha256(self._key + b"\n" + text).hexdigest()[:32].encode()
