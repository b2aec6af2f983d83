"""The list of downloads: what each file is, where it comes from and how it is recognised."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Hex40 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Entry(BaseModel):
    """One file that can be downloaded."""

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
