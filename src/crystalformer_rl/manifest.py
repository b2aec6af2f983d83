"""The list of downloads: address, checksum, licence and citation of each file."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from crystalformer_rl.shipped import RESOURCES
from crystalformer_rl.signatures import stand_in, start_of

Hex40 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MANIFEST = RESOURCES / "manifest.yaml"
DOWNLOADS = "resources/downloads/"
UNTRIED = "the authors name this address, but it was not tried here"


class Entry(BaseModel):
    """One downloadable file, with an ``https://`` or ``file://`` address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(pattern=r"^(https|file)://")]
    sha256: Hex64 | None
    git_blob: Hex40 | None = None
    size: int | None = Field(ge=0)
    licence: str
    citation: str
    description: str
    tried: bool = True

    @property
    def checksum(self) -> str:
        """The strongest known checksum, as text."""
        if self.sha256 is not None:
            return f"sha256 {self.sha256}"
        if self.git_blob is not None:
            return f"git blob {self.git_blob}"
        return "checksum unknown"

    @property
    def caveat(self) -> str:
        """A remark on an address that has not been tried here; empty if it has been tried."""
        return "" if self.tried else UNTRIED


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
    """Reason why a file does not match the manifest, or None.

    Parameters
    ----------
    sha256
        The sha256 of an earlier download; used if the manifest has no checksum.
    """
    if found := stand_in(start_of(path)):
        return f"it is {found}"
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
    """The sha256 that was recorded for a download without a known checksum, or None."""
    sidecar = sidecar_of(path)
    return sidecar.read_text(encoding="utf-8").split()[0] if sidecar.is_file() else None


def sidecar_of(path: Path) -> Path:
    """The file with the sha256 of a download that has no checksum in the manifest."""
    return path.with_name(path.name + ".sha256")


def verify(paths: Iterable[Path]) -> None:
    """Check files in the download folder against the manifest; they may have been copied by hand.

    Files elsewhere are not checked.

    Raises
    ------
    ValueError
        If a file does not match; the message says what was expected and where to get it.
    """
    parts = {path: path.as_posix().rpartition(DOWNLOADS) for path in paths}
    keys = {path: key for path, (_, place, key) in parts.items() if place}
    manifest = read_manifest(MANIFEST) if keys else {}
    for path, key in keys.items():
        entry = manifest.get(key)
        if entry is not None and (problem := mismatch(path, entry, sha256=recorded(path))):
            raise ValueError(
                f"{path}: does not match {MANIFEST.name}: {problem}. Remove it, and snakemake "
                f"downloads it from {entry.url}; or use another path for your own data"
            )


def _git_blob(path: Path, size: int) -> str:
    """The git object id of a file."""
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
