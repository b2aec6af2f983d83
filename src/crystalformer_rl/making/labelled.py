"""Crystals with known properties from a CSV, with their crystal features (``train-heads``)."""

import logging
import lzma
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.crystal.cell import cells_from
from crystalformer_rl.crystal.cif import structure_from_cif
from crystalformer_rl.files import read_tensors, write_tensors
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.potentials.base import Evaluation, Potential, evaluate_each
from crystalformer_rl.seeds import file_digest

CHUNK = 512
Floats = NDArray[np.float64]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """The n rows of a file that have all labels and crystal features.

    Attributes
    ----------
    path
        The file.
    ids, formulas
        (n,) identifiers and reduced formulas.
    features
        (n, d) features of the potential, averaged over atoms.
    labels
        (n,) labels by column.
    rejected
        Number of rows with labels but without features; the log gives the reasons.
    """

    path: Path
    ids: NDArray[np.str_]
    formulas: NDArray[np.str_]
    features: Floats
    labels: dict[str, Floats]
    rejected: int

    def __getitem__(self, rows: NDArray[np.bool_]) -> "Labelled":
        """The rows selected by a mask."""
        labels = {name: values[rows] for name, values in self.labels.items()}
        return Labelled(
            self.path, self.ids[rows], self.formulas[rows], self.features[rows], labels, 0
        )


def read_labelled(
    path: Path, columns: list[str], potential: Potential, folder: Path | None
) -> Labelled:
    """Read the rows of a CSV that have all labels in ``columns``, and compute their features.

    Parameters
    ----------
    path
        CSV with ``material_id``, ``cif`` and ``columns``; an empty cell is a missing label.
    folder
        Folder in which features are stored for further runs, or None.

    Raises
    ------
    ValueError
        If the file cannot be read or lacks a column, or a label is not a number.
    """
    table = _read(path, ("material_id", "cif", *columns))
    table = table[(table[columns] != "").all(axis=1)].reset_index(drop=True)
    structures = [
        _structure(name, cif)
        for name, cif in zip(
            table["material_id"], progress(table["cif"], label=f"read {path.name}"), strict=True
        )
    ]
    ids = table["material_id"].tolist()
    if folder is None:
        features = _features(path, ids, structures, potential)
    else:
        fields = (file_digest(path)[:16], *columns, potential.name, potential.version)
        stored = folder / f"{'-'.join(fields)}.safetensors"
        if not stored.is_file():
            write_tensors(stored, {"features": _features(path, ids, structures, potential)})
        features = np.asarray(read_tensors(stored)["features"], dtype=np.float64)
    good = np.asarray(np.isfinite(features).all(axis=1), dtype=np.bool_)
    formulas = ["" if s is None else s.composition.reduced_formula for s in structures]
    try:
        labels = {name: table[name].to_numpy(dtype=np.float64) for name in columns}
    except ValueError as error:
        raise ValueError(
            f"{path}: a label in the columns {columns} is not a number: {error}"
        ) from error
    whole = Labelled(
        path,
        np.array(ids, dtype=np.str_),
        np.array(formulas, dtype=np.str_),
        features,
        labels,
        0,
    )
    return replace(whole[good], rejected=int((~good).sum()))


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (EOFError, lzma.LZMAError, zlib.error, pd.errors.ParserError, UnicodeError) as error:
        raise ValueError(f"{path}: cannot be read as CSV: {error}") from error
    if missing := [name for name in columns if name not in table.columns]:
        raise ValueError(f"{path}: missing columns {missing}; it has {list(table.columns)}")
    return table


def _structure(name: str, cif: str) -> Structure | None:
    try:
        structure = structure_from_cif(cif)
    except ValueError as error:
        log.warning("%s: skipped, because the CIF is invalid: %s", name, error)
        return None
    if not structure.is_ordered:
        log.warning("%s: skipped, because sites are partially occupied", name)
        return None
    return structure


def _features(
    path: Path, ids: list[str], structures: list[Structure | None], potential: Potential
) -> Floats:
    """(n, d) features; NaN where the potential failed."""
    rows: list[Floats | None] = []
    for start in progress(range(0, len(structures), CHUNK), label=f"features {path.name}"):
        chunk = slice(start, start + CHUNK)
        answers = evaluate_each(potential, cells_from(structures[chunk]))
        for name, answer in zip(ids[chunk], answers, strict=True):
            if isinstance(answer, Evaluation):
                rows.append(answer.features)
            else:
                log.warning("%s: skipped, because it has no features: %s", name, answer.reason)
                rows.append(None)
    width = next((len(row) for row in rows if row is not None), 0)
    table = np.array([np.full(width, np.nan) if row is None else row for row in rows])
    return table.reshape(len(rows), width)
