"""Inputs for VASP, with the Materials Project's settings of a relaxation.

The set is pymatgen's ``MPRelaxSet``, Jain et al., Phys. Rev. B 84, 045115 (2011): PBE, with a
Hubbard U for the metals of oxides and fluorides. Energies computed with it belong on the Materials
Project's hull after the corrections MP2020. POTCAR.spec names the pseudopotentials, which need a
licence of VASP.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pymatgen.core import Structure
from pymatgen.io.vasp.sets import BadInputSetWarning, MPRelaxSet

from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.crystal.writers import file_name
from crystalformer_rl.files import write_text

SHOWN = ("id", "formula", "space_group", "e_above_hull", "judge_e_above_hull")


def write_inputs(folder: Path, table: pd.DataFrame) -> int:
    """Write a folder of inputs per crystal, and ``crystals.csv``, which lists all of them.

    Parameters
    ----------
    table
        Rows with the columns of a structure and an id. Some of :data:`SHOWN` are listed as well.

    Returns
    -------
    int
        Crystals that the set refuses; the column ``refused`` has the reason.
    """
    names = [file_name(name) for name in table["id"]]
    written = [
        write_input(folder / name, structure)
        for name, structure in zip(names, structures_of(table), strict=True)
    ]
    folders = [None if one.refused else name for name, one in zip(names, written, strict=True)]
    listed = table[[name for name in SHOWN if name in table]].reset_index(drop=True)
    listed["folder"] = pd.Series(folders, dtype="str")
    listed["refused"] = pd.Series([one.refused for one in written], dtype="str")
    listed["remark"] = pd.Series([one.remark for one in written], dtype="str")
    write_text(folder / "crystals.csv", listed.to_csv(index=False))
    return int(listed["refused"].notna().sum())


@dataclass(frozen=True)
class Written:
    """The result of writing the inputs of one crystal.

    Attributes
    ----------
    refused
        Why there are no inputs, or None.
    remark
        What pymatgen warns of, or None.
    """

    refused: str | None = None
    remark: str | None = None


def write_input(folder: Path, structure: Structure) -> Written:
    """Write INCAR, KPOINTS, POSCAR and POTCAR.spec of one crystal."""
    # pymatgen would name a POTCAR for these after the element, without a warning.
    missing = sorted(structure.symbol_set - MPRelaxSet.CONFIG["POTCAR"].keys())
    if missing:
        return Written(refused=f"MPRelaxSet has no POTCAR for {', '.join(missing)}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            MPRelaxSet(structure).write_input(str(folder), potcar_spec=True)
        except (KeyError, ValueError) as error:
            return Written(refused=f"{type(error).__name__}: {error}")
    remarks = [
        " ".join(str(one.message).split())
        for one in caught
        if issubclass(one.category, BadInputSetWarning)
    ]
    return Written(remark=" ".join(remarks) or None)
