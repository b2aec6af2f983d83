"""Read crystals from the files people have: tables, extxyz, folders and zips of CIFs, entries.

A crystal that cannot be read is a row with an error; a file that cannot be read is an exception
that names it.
"""

import gzip
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePath, PurePosixPath

from crystalformer_rl.crystal.cif import MERGE_BELOW, crystals_of_cif
from crystalformer_rl.crystal.entries import is_entries, open_entries
from crystalformer_rl.crystal.extxyz import open_extxyz
from crystalformer_rl.crystal.rows import Row, Source
from crystalformer_rl.crystal.tables import CSV_SUFFIXES, open_csv, open_parquet
from crystalformer_rl.encoding import decoded
from crystalformer_rl.signatures import START, explained, explained_start

CIF_SUFFIXES = (".cif", ".mcif", ".cif.gz", ".mcif.gz")
XYZ_SUFFIXES = (".extxyz", ".xyz")
FORMATS = (
    "a folder or .zip of .cif files, a .csv, .csv.gz, .csv.xz, .parquet, .extxyz or .cif file, or "
    "pymatgen's structures or entries, a .json, .json.gz, .json.bz2 or .json.xz file or a folder "
    "of them"
)
CONVERT = "ASE converts many others: ase convert POSCAR crystal.extxyz"
# The reason for leaving out a file that needs no warning.
HIDDEN = "a hidden file"
# Bytes of a file in an archive: far more than a CIF needs, far less than the memory.
MAX_MEMBER = 100_000_000

# How the bytes of each file of a folder or an archive are read, by its path inside.
Files = Sequence[tuple[PurePath, Callable[[], bytes]]]


def open_source(path: Path, *, merge_below: float = MERGE_BELOW) -> Source:
    """A file or folder, its crystals to be read.

    Tables need a column ``material_id`` or ``id``, and ``cif``, a column of LeMat-GenBench
    (:data:`~.tables.LEMAT_COLUMNS`) or (parquet) the structure columns ``lattice``, ``numbers``,
    ``positions``; ``split`` and the known labels are optional, empty cells are missing labels.
    Extended XYZ takes the same names from the comment line. CIFs (in any case ``.cif``, ``.mcif``,
    or either with ``.gz``) are searched in folders, their subfolders and zip archives, and named by
    their path inside without the suffix; if a CIF has several crystals, the names of their blocks
    follow. Links to folders are followed. A folder of JSON files without a CIF is one of pymatgen's
    entries (:func:`~.entries.open_entries`).

    Parameters
    ----------
    merge_below
        Å. Images of a site of a CIF closer than this are one atom.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ValueError
        If the file is damaged, lacks a column, or is of no known kind; the message names it.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path, merge_below)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file or folder")
    return _open_file(path, merge_below)


def read_crystals(path: Path, *, merge_below: float = MERGE_BELOW) -> Iterator[Row]:
    """The crystals of a file or folder, in its order; see :func:`open_source`."""
    return open_source(path, merge_below=merge_below).read()


def source_files(source: Path) -> list[Path]:
    """The files that :func:`read_crystals` reads of ``source``, without broken links."""
    source = Path(source)
    if not source.is_dir():
        return [source]
    files = _entries(source) or [
        path for path in _files(source) if _left_out(path.relative_to(source)) is None
    ]
    return [path for path in files if path.exists()]


def text_of(path: Path) -> str:
    """The text of a file, perhaps compressed (``.gz``).

    Raises
    ------
    ValueError
        If it is damaged, or no text; the message says what it is.
    """
    return _text(path.name, path.read_bytes())


def _open_file(path: Path, merge_below: float) -> Source:
    if path.name.lower().endswith(CSV_SUFFIXES):
        return open_csv(path, merge_below=merge_below)
    if path.suffix.lower() == ".parquet":
        return open_parquet(path, merge_below=merge_below)
    if path.name.lower().endswith(XYZ_SUFFIXES):
        return open_extxyz(path)
    if path.suffix.lower() == ".zip":
        return _open_zip(path, merge_below)
    if is_entries(path):
        return open_entries(path, [path])
    if _is_cif(path):
        name = _stem(path.name)
        return Source(path, lambda: _rows_of_cif(path.name, path.read_bytes, name, merge_below))
    raise ValueError(f"{path}: unknown kind of source; allowed: {FORMATS}; {CONVERT}")


def _text(name: str, data: bytes) -> str:
    if name.lower().endswith(".gz"):
        try:
            return decoded(gzip.decompress(data))
        except (OSError, EOFError, zlib.error) as error:
            reason = explained_start(data[:START], error, compressed=True)
            raise ValueError(f"cannot be unpacked: {reason}") from error
    return decoded(data)


def _open_folder(folder: Path, merge_below: float) -> Source:
    if entries := _entries(folder):
        return open_entries(folder, entries)
    files: Files = [(path.relative_to(folder), partial(_bytes, path)) for path in _files(folder)]
    if not any(_left_out(inside) is None for inside, _ in files):
        raise ValueError(
            f"{folder}: the folder has no .cif files, and no .json files of pymatgen; {CONVERT}"
        )
    return Source(folder, lambda: _rows_of_files(files, merge_below))


def _bytes(path: Path) -> bytes:
    """The bytes of a file of a folder; ValueError if it cannot be opened, such as a broken link."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be opened: {error.strerror}") from error


def _open_zip(path: Path, merge_below: float) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: cannot be read as zip: {explained(path, error, compressed=True)}"
        ) from error
    members.sort(key=lambda one: one.filename)
    if not any(_left_out(PurePosixPath(one.filename)) is None for one in members):
        frames = [one.filename for one in members if one.filename.lower().endswith(XYZ_SUFFIXES)]
        advice = f"unpack {frames[0]} and give that file" if frames else CONVERT
        raise ValueError(f"{path}: the archive has no .cif files; {advice}")

    def read() -> Iterator[Row]:
        with zipfile.ZipFile(path) as archive:
            files = [(PurePosixPath(m.filename), partial(_member, archive, m)) for m in members]
            yield from _rows_of_files(files, merge_below)

    return Source(path, read)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a file in an archive; ValueError if it is damaged, encrypted or too large."""
    if member.file_size > MAX_MEMBER:
        raise ValueError(f"{member.file_size} bytes in the archive: at most {MAX_MEMBER}")
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot be read in the archive: {error}") from error


def _rows_of_files(files: Files, merge_below: float) -> Iterator[Row]:
    taken: set[str] = set()
    for inside, load in files:
        why = _left_out(inside)
        if why is not None:
            yield Row(inside.as_posix(), None, why, "left_out")
            continue
        name = (inside.parent / _stem(inside.name)).as_posix()
        # a.cif and a.CIF are two crystals.
        name = inside.as_posix() if name in taken else name
        taken.add(name)
        yield from _rows_of_cif(inside.name, load, name, merge_below)


def _rows_of_cif(
    file: str, load: Callable[[], bytes], name: str, merge_below: float
) -> Iterator[Row]:
    try:
        crystals = list(crystals_of_cif(_text(file, load()), merge_below=merge_below))
    except ValueError as error:
        yield Row(name, None, str(error), "unreadable")
        return
    taken: set[str] = set()
    for place, crystal in enumerate(crystals):
        own = name
        if len(crystals) > 1:
            own = f"{name}-{crystal.name or place}"
            own = f"{own}-{place}" if own in taken else own
            taken.add(own)
        yield Row(own, crystal.cell, crystal.error, crystal.reason, merged=crystal.merged)


def _files(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders, in the order of their names.

    Links to folders are followed, each folder once. A broken link is one of the files, so that its
    crystal does not vanish from the denominators.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        paths = (Path(place, name) for name in names)
        found += [path for path in paths if path.is_file() or not path.exists()]
    return sorted(found)


def _entries(folder: Path) -> list[Path]:
    """The JSON files of a folder, if it has no CIF."""
    files = _files(folder)
    if any(_left_out(path.relative_to(folder)) is None for path in files):
        return []
    return [path for path in files if is_entries(path) and not path.name.startswith(".")]


def _left_out(inside: PurePath) -> str | None:
    """Why a file of a folder or an archive is not read, None if it is."""
    if any(part.startswith((".", "__MACOSX")) and part != ".." for part in inside.parts):
        return HIDDEN
    if not _is_cif(inside):
        return f"not a CIF: the suffix must be one of {', '.join(CIF_SUFFIXES)}"
    return None


def _is_cif(path: PurePath) -> bool:
    return path.name.lower().endswith(CIF_SUFFIXES)


def _stem(name: str) -> str:
    suffix = next(end for end in sorted(CIF_SUFFIXES, key=len)[::-1] if name.lower().endswith(end))
    return name[: -len(suffix)]
