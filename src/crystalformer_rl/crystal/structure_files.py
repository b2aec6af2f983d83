"""Files with one crystal: CIF, POSCAR, extended XYZ, and what else pymatgen reads."""

import logging
from pathlib import Path

from pymatgen.core import Structure

from crystalformer_rl.crystal.cif import crystals_of_cif
from crystalformer_rl.crystal.extxyz import read_frames
from crystalformer_rl.crystal.physical import physical_cell
from crystalformer_rl.crystal.poscar import structure_of_poscar
from crystalformer_rl.crystal.readers import CIF_SUFFIXES, text_of

XYZ_SUFFIXES = (".extxyz", ".xyz")
POSCAR_SUFFIXES = (".vasp", ".poscar", ".contcar")
POSCAR_NAMES = ("poscar", "contcar")

log = logging.getLogger(__name__)


def read_structure(path: Path) -> Structure:
    """The structure of a file, the first one if there are several.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read, or cannot be a crystal; the message says why.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        structure = _read(path)
        if structure.is_ordered:
            physical_cell(structure)
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as a structure: {error}") from error
    return structure


def _read(path: Path) -> Structure:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(CIF_SUFFIXES):
        return _of_cif(path)
    if name.endswith(XYZ_SUFFIXES):
        first, *others = read_frames(text_of(path))
        _tell_of_others(path, len(others))
        return first.structure()
    try:
        if name.startswith(POSCAR_NAMES) or name.endswith(POSCAR_SUFFIXES):
            return structure_of_poscar(text_of(path))
        return Structure.from_file(path)
    except ValueError:
        raise
    except Exception as error:
        # pymatgen meets damaged files with errors of a dozen kinds.
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _of_cif(path: Path) -> Structure:
    first, *others = crystals_of_cif(text_of(path))
    _tell_of_others(path, len(others))
    if first.structure is None:
        raise ValueError(first.error)
    return first.structure


def _tell_of_others(path: Path, others: int) -> None:
    if others:
        log.info("%s: using the first of %d structures", path, others + 1)
