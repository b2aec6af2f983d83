"""An ASE database: ``ase db ase.db "stable,e_above_hull<0.05"`` selects from it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.db.core import str_represents
from numpy.typing import NDArray
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalformer_rl.files import atomic
from crystalformer_rl.tools.export.records import Value, scalar_columns, values

# ASE computes these of the atoms, and reserves the names.
OF_ASE = ("formula", "volume", "num_atoms")
# The name that a column has in the database, where ASE's own id is a number.
RENAMED = {"id": "structure_id"}


def write_database(
    path: Path,
    table: pd.DataFrame,
    structures: Sequence[Structure],
    energies: NDArray[np.float64],
) -> None:
    """Write one row per crystal, with the columns of the report as key-value pairs.

    Parameters
    ----------
    table
        The evaluated crystals.
    structures, energies
        Of the same crystals: (n,) total energies by the potential that relaxed them, eV, NaN where
        there is none.
    """
    columns = [one for one in scalar_columns(table) if one.name not in OF_ASE]
    with atomic(path) as temporary, connect(str(temporary), type="db", append=False) as database:
        for (_, row), structure, energy in zip(table.iterrows(), structures, energies, strict=True):
            atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
            if np.isfinite(energy):
                atoms.calc = SinglePointCalculator(atoms, energy=float(energy))
            known = {
                RENAMED.get(name, name): value
                for name, value in values(row, columns).items()
                if value is not None
            }
            texts = {name: value for name, value in known.items() if _reads_as_number(value)}
            pairs = {name: value for name, value in known.items() if name not in texts}
            database.write(atoms, key_value_pairs=pairs, data=texts)


def _reads_as_number(value: Value) -> bool:
    """Whether ASE refuses a text as a value, because a query could not tell it from a number."""
    return isinstance(value, str) and any(str_represents(value, one) for one in (bool, int, float))
