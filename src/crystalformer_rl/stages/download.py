"""Download a file of resources/manifest.yaml and verify it."""

import argparse
import hashlib
import logging
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from crystalformer_rl.files import atomic, write_text
from crystalformer_rl.manifest import Entry, read_manifest
from crystalformer_rl.provenance import file_digest

SECONDS_WITHOUT_DATA = 60
USER_AGENT = "crystalformer-rl (https download of resources/manifest.yaml)"
LFS_POINTER = b"version https://git-lfs"
PAGE_STARTS = (b"<!doctype html", b"<html", b"<?xml")

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
    request = urllib.request.Request(entry.url, headers={"User-Agent": USER_AGENT})
    with atomic(args.out) as temporary:
        try:
            with (
                urllib.request.urlopen(request, timeout=SECONDS_WITHOUT_DATA) as source,
                temporary.open("wb") as target,
            ):
                shutil.copyfileobj(source, target)
        except urllib.error.URLError as error:
            raise OSError(f"{args.name}: no download: {error.reason}; {by_hand}") from error
        problem = _problem(temporary, entry, recorded=_sidecar(args.out))
        if problem:
            raise ValueError(f"{args.name}: {problem}; {by_hand}")
        digest = file_digest(temporary)
    if entry.sha256 is None:
        write_text(_sidecar(args.out), f"{digest}  {args.out.name}\n")
        log.info("%s: sha256 %s, kept in %s", args.name, digest, _sidecar(args.out))
    log.info("%s: %d bytes at %s", args.name, args.out.stat().st_size, args.out)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _problem(path: Path, entry: Entry, *, recorded: Path) -> str | None:
    """Why a file is not the one of the manifest, or None."""
    with path.open("rb") as stream:
        start = stream.read(200).lstrip().lower()
    if start.startswith(LFS_POINTER):
        return "the server sent a Git LFS pointer, not the file"
    if start.startswith(PAGE_STARTS):
        return "the server sent a web page, not the file"
    size = path.stat().st_size
    if entry.size is not None and size != entry.size:
        return f"{size} bytes came, expected {entry.size}"
    digest = file_digest(path)
    expected = entry.sha256
    if expected is None and entry.git_blob is None and recorded.is_file():
        expected = recorded.read_text(encoding="utf-8").split()[0]
    if expected is not None and digest != expected:
        return f"its sha256 is {digest}, expected {expected}"
    if entry.git_blob is not None and (blob := _git_blob(path, size)) != entry.git_blob:
        return f"its git blob id is {blob}, expected {entry.git_blob}"
    return None


def _git_blob(path: Path, size: int) -> str:
    """The object id git gives a file."""
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
