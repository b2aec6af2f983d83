"""Download a file of resources/manifest.yaml and verify it."""

import argparse
import logging
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import NoReturn

from crystalformer_rl.files import atomic, write_text
from crystalformer_rl.manifest import mismatch, read_manifest
from crystalformer_rl.provenance import file_digest

SECONDS_WITHOUT_DATA = 60
USER_AGENT = "crystalformer-rl (https download of resources/manifest.yaml)"
BLOCK = 1 << 20
MOST_BYTES = 1 << 35  # 32 GiB, where the manifest does not say how large a file is

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--manifest", type=Path, default=Path("resources/manifest.yaml"))
    parser.add_argument("--name", required=True, help="key in the manifest: mp_20/train.csv")
    parser.add_argument("--out", type=Path, required=True, help="file to write")


def run(args: argparse.Namespace) -> None:
    """Download one file; nothing is left at its place unless it is the right one.

    Raises
    ------
    ValueError
        If the manifest has no such file, or what came is not it.
    OSError
        If the download fails; the message tells how to do it by hand.
    """
    entries = read_manifest(args.manifest)
    if args.name not in entries:
        raise ValueError(f"{args.name}: not in {args.manifest}, which has: {', '.join(entries)}")
    entry = entries[args.name]
    by_hand = f"by hand: fetch {entry.url} ({entry.checksum}) and put it at {args.out}"
    log.info("%s: %s, licence: %s", args.name, entry.description, entry.licence)
    sidecar = args.out.with_name(args.out.name + ".sha256")
    recorded = sidecar.read_text(encoding="utf-8").split()[0] if sidecar.is_file() else None
    with atomic(args.out) as temporary:
        try:
            _fetch(entry.url, temporary, most=entry.size or MOST_BYTES)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise OSError(f"{args.name}: no download: {reason}; {by_hand}") from error
        if problem := mismatch(temporary, entry, sha256=recorded):
            raise ValueError(f"{args.name}: what came is not the file: {problem}; {by_hand}")
        digest = file_digest(temporary)
    if entry.sha256 is None:
        write_text(sidecar, f"{digest}  {args.out.name}\n")
        log.info("%s: sha256 %s, kept in %s", args.name, digest, sidecar)
    log.info("%s: %d bytes at %s", args.name, args.out.stat().st_size, args.out)


class _HttpsOnly(urllib.request.BaseHandler):
    """Refuses what a server could redirect to and could be read or changed on its way."""

    handler_order = 0

    def http_open(self, request: urllib.request.Request) -> NoReturn:
        raise urllib.error.URLError(f"it is redirected to {request.full_url}, which is not https")

    ftp_open = http_open


def _fetch(url: str, path: Path, *, most: int) -> None:
    """Write what lies at ``url`` to ``path``, and stop after ``most`` bytes."""
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT})
    opener = urllib.request.build_opener(_HttpsOnly)
    with (
        opener.open(request, timeout=SECONDS_WITHOUT_DATA) as source,
        path.open("wb") as target,
    ):
        written = 0
        while block := source.read(BLOCK):
            written += len(block)
            if written > most:
                raise urllib.error.URLError(f"more than the {most} bytes that it should have came")
            target.write(block)
