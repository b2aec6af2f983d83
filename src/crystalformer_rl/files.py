"""Result files: written atomically, and read with errors that name the file.

Every writer uses :func:`atomic`: a temporary file in the same folder is flushed to disk and
renamed. A reader therefore never sees an incomplete file, even if the writer is killed.
"""

import json
import mmap
import os
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from crystalformer_rl.signatures import explained

MAPPED_TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
"""The numpy type of each safetensors type that numpy supports."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` if the block succeeds and is deleted otherwise.

    Files and folders get the permissions that the user's umask or the folder's access list gives to
    new files, so that shared folders stay shared. On a full disk the write or the flush raises
    ``OSError``, and ``path`` keeps its previous content.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile, whose files only their owner can read.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    temporary.touch(exist_ok=False)
    permissions = stat.S_IMODE(temporary.stat().st_mode)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        # The writer may have replaced the file, as safetensors does.
        temporary.chmod(permissions)
        temporary.replace(path)
        _sync_folder(path.parent)
    except (OSError, safetensors.SafetensorError) as error:
        # Raised on a full disk without the name of the file; that of safetensors is not an OSError.
        if type(error) not in (OSError, safetensors.SafetensorError):
            raise
        raise OSError(f"{path}: cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes as they are."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON; NaN and infinities raise ``ValueError``."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ValueError
        If the file is not JSON; the message names the file, line and column.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON: {explained(path, error)}") from error


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet (zstd), without its index."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a parquet table, or only the named ``columns``; decimal numbers become floats.

    Raises
    ------
    ValueError
        If the file cannot be read as parquet or lacks a column; the message names the file.
    """
    with _readable_parquet(path):
        if not any(_decimals(kind) for kind in pa.parquet.read_schema(path).types):
            return pd.read_parquet(path, columns=columns)
        floats: pd.DataFrame = _read_arrow(path, columns).to_pandas()
        return floats


def read_rows(path: Path, name: str, values: Collection[str]) -> pd.DataFrame:
    """The rows of a parquet table whose column ``name`` is one of ``values``.

    The others are not kept in memory.

    Raises
    ------
    ValueError
        If the file cannot be read as parquet or lacks the column; the message names the file.
    """
    with _readable_parquet(path):
        return pd.read_parquet(path, filters=[(name, "in", sorted(values))])


def read_arrow(path: Path) -> pa.Table:
    """Read a parquet table as it is stored; decimal numbers become floats.

    Raises
    ------
    ValueError
        If the file cannot be read as parquet; the message names the file.
    """
    with _readable_parquet(path):
        return _read_arrow(path, None)


@contextmanager
def _readable_parquet(path: Path) -> Iterator[None]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        yield
    except Exception as error:
        reason = explained(path, error)
        raise ValueError(f"{path}: cannot be read as a parquet table: {reason}") from error


def _read_arrow(path: Path, columns: list[str] | None) -> pa.Table:
    # Unlike read_table of pyarrow, it reads columns of one name.
    with pa.parquet.ParquetFile(path) as file:
        table = file.read(columns=columns)
    return table.cast(pa.schema(map(_float_field, table.schema), table.schema.metadata))


def _decimals(kind: pa.DataType) -> bool:
    """Whether a column has decimal numbers, or lists of them."""
    return bool(pa.types.is_decimal(kind.value_type if pa.types.is_list(kind) else kind))


def _float_field(field: pa.Field) -> pa.Field:
    if not _decimals(field.type):
        return field
    kind = pa.list_(pa.float64()) if pa.types.is_list(field.type) else pa.float64()
    return field.with_type(kind)


def write_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays as safetensors."""
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with atomic(path) as temporary:
        safetensors.numpy.save_file(arrays, temporary, metadata=dict(metadata or {}))


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a safetensors file.

    Raises
    ------
    ValueError
        If the file is damaged; the message names the file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise unreadable_tensors(path, error) from error


def unreadable_tensors(path: Path, error: safetensors.SafetensorError) -> ValueError:
    """The error to raise for a safetensors file that cannot be read."""
    return ValueError(f"{path}: not a readable safetensors file: {explained(path, error)}")


def check_tensors(path: Path) -> None:
    """Compare the header of a safetensors file with its length.

    Raises
    ------
    ValueError
        If the file is damaged or truncated; the message names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safetensors.safe_open(path, "numpy"):
            pass
    except safetensors.SafetensorError as error:
        raise unreadable_tensors(path, error) from error


def map_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file as read-only memory maps; data are read on access.

    The file consists of 8 bytes with the length of the header, the header as JSON (type, shape and
    offsets of each array), and the arrays (https://github.com/huggingface/safetensors).

    Raises
    ------
    ValueError
        If the file is damaged or truncated, or contains a type that numpy does not support; the
        message names the file.
    """
    path = Path(path)
    check_tensors(path)
    with path.open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    arrays: dict[str, NDArray[Any]] = {}
    for name, entry in header.items():
        kind, begin = MAPPED_TYPES.get(entry["dtype"]), start + entry["data_offsets"][0]
        if kind is None:
            allowed = ", ".join(MAPPED_TYPES)
            raise ValueError(f"{path}: array {name} is {entry['dtype']}, allowed: {allowed}")
        arrays[name] = np.ndarray(entry["shape"], kind, buffer=content, offset=begin)
    return arrays
