"""The list of downloads: what each file is, where it comes from and how it is recognised."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Hex40 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MANIFEST = Path(__file__).parents[2] / "resources" / "manifest.yaml"
DOWNLOADS = "resources/downloads/"
LFS_POINTER = b"version https://git-lfs"
PAGE_STARTS = (b"<!doctype html", b"<html", b"<?xml")


class Entry(BaseModel):
    """One file that can be downloaded: by https, or from a folder of files by ``file://``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(pattern=r"^(https|file)://")]
    sha256: Hex64 | None
    git_blob: Hex40 | None = None
    size: int | None = Field(ge=0)
    licence: str
    citation: str
    description: str

    @property
    def checksum(self) -> str:
        """The strongest checksum known, in words."""
        if self.sha256 is not None:
            return f"sha256 {self.sha256}"
        if self.git_blob is not None:
            return f"git blob {self.git_blob}"
        return "checksum unknown"


def read_manifest(path: Path) -> Mapping[str, Entry]:
    """The entries of a manifest by their path under the download folder.

    Raises
    ------
    ValueError
        If the file is not a manifest; the message names the file.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, Entry]).validate_python(raw or {})
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{path}: not a manifest of downloads: {error}") from error


def mismatch(path: Path, entry: Entry, *, sha256: str | None = None) -> str | None:
    """Why a file is not the one of the manifest, or None.

    Parameters
    ----------
    sha256
        What an earlier download had; asked for where the manifest has no checksum.
    """
    with path.open("rb") as stream:
        start = stream.read(200).lstrip().lower()
    if start.startswith(LFS_POINTER):
        return "it is a Git LFS pointer, not the file"
    if start.startswith(PAGE_STARTS):
        return "it is a web page, not the file"
    size = path.stat().st_size
    if entry.size is not None and size != entry.size:
        return f"it has {size} bytes, expected {entry.size}"
    expected = entry.sha256
    if expected is None and entry.git_blob is None:
        expected = sha256
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if expected is not None and digest != expected:
        return f"its sha256 is {digest}, expected {expected}"
    if entry.git_blob is not None and (blob := _git_blob(path, size)) != entry.git_blob:
        return f"its git blob id is {blob}, expected {entry.git_blob}"
    return None


def recorded(path: Path) -> str | None:
    """The sha256 that a download without a known checksum left beside its file."""
    sidecar = sidecar_of(path)
    return sidecar.read_text(encoding="utf-8").split()[0] if sidecar.is_file() else None


def sidecar_of(path: Path) -> Path:
    """Where the sha256 of a download stands that has none in the manifest."""
    return path.with_name(path.name + ".sha256")


def verify(paths: Iterable[Path]) -> None:
    """Refuse files in the place of a download that are not what the manifest says.

    They may have been put there by hand; other files are not looked at.

    Raises
    ------
    ValueError
        With the file, what was found and expected, and where to get the right one.
    """
    parts = {path: path.as_posix().rpartition(DOWNLOADS) for path in paths}
    keys = {path: key for path, (_, place, key) in parts.items() if place}
    manifest = read_manifest(MANIFEST) if keys else {}
    for path, key in keys.items():
        entry = manifest.get(key)
        if entry is not None and (problem := mismatch(path, entry, sha256=recorded(path))):
            raise ValueError(
                f"{path}: not the file of {MANIFEST.name}: {problem}; remove it, and snakemake "
                f"downloads it from {entry.url}; or give your own data another path"
            )


def _git_blob(path: Path, size: int) -> str:
    """The object id git gives a file."""
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
