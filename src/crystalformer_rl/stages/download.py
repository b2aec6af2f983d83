"""Download a file of resources/manifest.yaml and verify it."""

import argparse
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import NoReturn

from crystalformer_rl.files import atomic, write_text
from crystalformer_rl.manifest import mismatch, read_manifest, recorded, sidecar_of
from crystalformer_rl.seeds import file_digest

SECONDS_WITHOUT_DATA = 60
USER_AGENT = "crystalformer-rl (https download of resources/manifest.yaml)"
BLOCK = 1 << 20
MOST_BYTES = 1 << 35  # 32 GiB, for files whose size is not in the manifest

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--manifest", type=Path, default=Path("resources/manifest.yaml"))
    parser.add_argument(
        "--name", required=True, help="key in the manifest, such as mp_20/train.csv"
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write")


def run(args: argparse.Namespace) -> None:
    """Download one file; it appears at its path only if its checksum is right.

    Raises
    ------
    ValueError
        If the manifest has no such file, or the downloaded file does not match it.
    ConnectionError
        If the download fails; the message says how to download by hand.
    OSError
        If the file cannot be written.
    """
    entries = read_manifest(args.manifest)
    if args.name not in entries:
        raise ValueError(f"{args.name}: not in {args.manifest}, which has: {', '.join(entries)}")
    entry = entries[args.name]
    by_hand = f"to download by hand, save {entry.url} ({entry.checksum}) as {args.out}"
    if entry.caveat:
        by_hand = f"{entry.caveat}; {by_hand}"
    log.info("%s: %s, licence: %s", args.name, entry.description, entry.licence)
    if entry.caveat:
        log.warning("%s: %s; %s", args.name, entry.caveat, entry.checksum)
    sidecar = sidecar_of(args.out)
    with atomic(args.out) as temporary:
        try:
            _fetch(entry.url, temporary, most=entry.size or MOST_BYTES)
        except ConnectionError as error:
            raise ConnectionError(f"{args.name}: download failed: {error}; {by_hand}") from error
        if problem := mismatch(temporary, entry, sha256=recorded(args.out)):
            raise ValueError(f"{args.name}: the downloaded file is wrong: {problem}; {by_hand}")
        digest = file_digest(temporary)
    if entry.sha256 is None:
        write_text(sidecar, f"{digest}  {args.out.name}\n")
        log.info("%s: sha256 %s, kept in %s", args.name, digest, sidecar)
    log.info("%s: %d bytes at %s", args.name, args.out.stat().st_size, args.out)


class _HttpsOnly(urllib.request.BaseHandler):
    """Refuses redirects to addresses without encryption."""

    handler_order = 0

    def http_open(self, request: urllib.request.Request) -> NoReturn:
        raise urllib.error.URLError(f"redirected to {request.full_url}, which is not https")

    ftp_open = http_open


def _fetch(url: str, path: Path, *, most: int) -> None:
    """Download ``url`` to ``path``."""
    with path.open("wb") as target:
        for block in _blocks(url, most=most):
            target.write(block)


def _blocks(url: str, *, most: int) -> Iterator[bytes]:
    """Download ``url`` in blocks, up to ``most`` bytes.

    Raises
    ------
    ConnectionError
        If the download fails or is larger than ``most``. Errors of the disk are not included.
    """
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT})
    try:
        with urllib.request.build_opener(_HttpsOnly).open(
            request, timeout=SECONDS_WITHOUT_DATA
        ) as source:
            read = 0
            while block := source.read(BLOCK):
                read += len(block)
                if read > most:
                    raise ConnectionError(f"received more than the expected {most} bytes")
                yield block
    except (OSError, HTTPException) as error:
        raise ConnectionError(getattr(error, "reason", None) or error) from error
