"""A cache of values on disk that outlives jobs and runs, so that nothing is computed twice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystalformer_rl.jobs.journal import Journal

BUCKETS = 256


class Cache:
    """Values by digest, in up to 256 journals: one for each first byte of the digests.

    Jobs that share the folder must have different shards (:func:`shard_of`); then no two of them
    write into the same journal, and another number of shards still finds all values.

    Parameters
    ----------
    folder
        Folder of the journals; it may not exist yet.
    key
        Everything a value depends on in addition to its digest; see :class:`~.journal.Journal`.
    """

    def __init__(self, folder: Path, *, key: Mapping[str, Any]) -> None:
        self._folder = Path(folder)
        self._key = key
        self._journals: dict[int, Journal] = {}

    def get(self, digest: str) -> Any:
        """The value of ``digest``, or None."""
        return self._journal(digest).found.get(digest)

    def put(self, digest: str, value: Any) -> None:
        """Add a value, as soon as it is computed; it survives the end of the process.

        Raises
        ------
        OSError
            If it cannot be written; the message names the file.
        """
        journal = self._journal(digest)
        journal.append(digest, value)
        journal.found[digest] = value

    def _journal(self, digest: str) -> Journal:
        bucket = bucket_of(digest)
        if bucket not in self._journals:
            path = self._folder / f"{bucket:02x}.journal"
            self._journals[bucket] = Journal(path, key=self._key)
        return self._journals[bucket]


def bucket_of(digest: str) -> int:
    """The first byte of a digest in hexadecimal.

    >>> bucket_of("0fab")
    15
    """
    return int(digest[:2], 16)


def shard_of(digest: str, shards: int) -> int:
    """Which of ``shards`` (at most 256) a digest belongs to, whatever else there is.

    >>> shard_of("0fab", 4)
    3
    """
    return bucket_of(digest) % shards
