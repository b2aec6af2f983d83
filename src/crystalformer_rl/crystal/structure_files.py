"""Files with one crystal: CIF, POSCAR, extended XYZ, and what else pymatgen reads."""

import logging
from pathlib import Path

from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

from crystalformer_rl.crystal.cif import crystals_of_cif
from crystalformer_rl.crystal.extxyz import read_frames
from crystalformer_rl.crystal.physical import refuse_unphysical
from crystalformer_rl.crystal.readers import CIF_SUFFIXES, cif_text
from crystalformer_rl.encoding import decoded

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
            refuse_unphysical(structure)
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as a structure: {error}") from error
    return structure


def _read(path: Path) -> Structure:
    name = path.name.lower()
    if name.endswith(CIF_SUFFIXES):
        return _of_cif(path)
    if name.endswith(XYZ_SUFFIXES):
        first, *others = read_frames(decoded(path.read_bytes()))
        _tell_of_others(path, len(others))
        return first.structure()
    try:
        if name.startswith(POSCAR_NAMES) or name.endswith(POSCAR_SUFFIXES):
            return _of_poscar(decoded(path.read_bytes()))
        return Structure.from_file(path)
    except ValueError:
        raise
    except Exception as error:
        # pymatgen meets damaged files with errors of a dozen kinds.
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _of_cif(path: Path) -> Structure:
    first, *others = crystals_of_cif(cif_text(path))
    _tell_of_others(path, len(others))
    if first.structure is None:
        raise ValueError(first.error)
    return first.structure


def _of_poscar(text: str) -> Structure:
    lines = text.splitlines() + [""] * 8
    symbols, counts = (line.split() for line in lines[5:7])
    if all(word.isdecimal() for word in symbols):
        raise ValueError(
            "a POSCAR of VASP 4 does not say which elements it has: put a line with their symbols "
            "above the numbers of atoms"
        )
    if len(symbols) != len(counts):
        raise ValueError(f"{len(symbols)} elements have {len(counts)} numbers of atoms")
    if lines[7][:1].lower() == "s":
        atoms = sum(int(count) for count in counts if count.isdecimal())
        for place, line in enumerate(lines[9 : 9 + atoms], 10):
            if len(line.split()) < 6:
                raise ValueError(
                    f"line {place}: with selective dynamics each atom needs three flags, T or F"
                )
    return Poscar.from_str(text).structure


def _tell_of_others(path: Path, others: int) -> None:
    if others:
        log.info("%s: using the first of %d structures", path, others + 1)
