"""Crystals as a table, and that table as the file that is asked for."""

import hashlib
import logging
import zipfile
from pathlib import Path
from urllib.parse import quote

import ase.io
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from crystalformer_rl.crystal.decoding import decode
from crystalformer_rl.crystal.structures import cell_columns, structures_of
from crystalformer_rl.crystal.token_table import token_columns
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import atomic, write_table, write_text

FORMATS = ".parquet (all), .extxyz, .zip (CIFs), or no suffix (a folder of CIFs)"
SUFFIXES = (".parquet", ".extxyz", ".zip", "")

# Bytes of the name of a file without suffix.
LONGEST = 200

log = logging.getLogger(__name__)


def check_out(path: Path) -> None:
    """Raise ``ValueError`` if crystals cannot be written to ``path``, before they are drawn."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"--out {path}: cannot write {path.suffix}; the suffix may be {FORMATS}")
    if path.suffix == "" and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"--out {path}: exists; a folder of CIFs must be new or empty")


def file_name(name: str) -> str:
    """The id of a crystal as the name of a file without suffix.

    Letters, digits, ``-``, ``_`` and ``~`` remain; others, as of a path that is an id, become their
    code, as in an URL. A long name ends in its hash instead, because file systems allow 255 bytes.
    Different ids have different names.
    """
    quoted = quote(name, safe="").replace(".", "%2E")
    if len(quoted) <= LONGEST:
        return quoted
    return f"{quoted[: LONGEST - 17]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def crystal_table(
    tokens: CrystalTokens, log_prob: NDArray[np.float64], *, prefix: str
) -> pd.DataFrame:
    """A row per crystal with tokens, ln p and structure; ids are ``prefix`` and a number.

    A crystal that cannot be decoded has null structure columns and a ``decode_error``.
    """
    decoded = decode(tokens)
    columns = token_columns(tokens)
    return pd.DataFrame(
        {
            "id": [f"{prefix}-{i:04d}" for i in range(len(tokens))],
            "space_group": columns.pop("space_group"),
            "num_sites": tokens.num_sites,
            **columns,
            "log_prob": log_prob,
            "decode_error": pd.Series([one.error for one in decoded], dtype="string"),
            **cell_columns([one.cell for one in decoded]),
        }
    )


def write_crystals(path: Path, table: pd.DataFrame) -> int:
    """Write a table of :func:`crystal_table` in the form that the suffix of ``path`` names.

    The parquet file has every row; the other forms leave out crystals without a structure. CIFs
    have the primitive cell, in P 1, and are named by :func:`file_name`.

    Returns
    -------
    int
        Crystals that cannot be decoded.
    """
    undecodable = int(table["decode_error"].notna().sum())
    what = f", {undecodable} of which cannot be decoded" if undecodable else ""
    log.info("%s: %d crystals%s", path, len(table), what)
    if path.suffix == ".parquet":
        write_table(path, table)
        return undecodable
    named = [
        (row, structure)
        for row, structure in zip(table.itertuples(), structures_of(table), strict=True)
        if structure is not None
    ]
    if path.suffix == ".extxyz":
        frames = []
        for row, structure in named:
            atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
            atoms.info = {
                "id": row.id, "space_group": row.space_group, "log_prob": row.log_prob
            }  # fmt: skip
            frames.append(atoms)
        with atomic(path) as temporary:
            ase.io.write(temporary, frames, format="extxyz")
        return undecodable
    texts = {f"{file_name(str(row.id))}.cif": str(CifWriter(structure)) for row, structure in named}
    if path.suffix == ".zip":
        with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, text in texts.items():
                archive.writestr(name, text)
    else:
        path.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_text(path / name, text)
    return undecodable
