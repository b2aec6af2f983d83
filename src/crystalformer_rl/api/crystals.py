"""Sampled crystals, as the objects of other packages."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.crystal.writers import check_out, write_crystals


@dataclass(frozen=True)
class Crystals:
    """Crystals that a policy has sampled, those that cannot be decoded included.

    Attributes
    ----------
    table
        A row per crystal: id, space group, letters, elements and coordinates of the sites, ln p
        (``log_prob``, nats) and the primitive cell (Å); ``decode_error`` says why a crystal cannot
        be decoded, and is null for the others.
    """

    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def structures(self) -> list[Structure | None]:
        """Primitive cells in the order of the table; None for what cannot be decoded."""
        return structures_of(self.table)

    @cached_property
    def atoms(self) -> list[Atoms | None]:
        """The same as ASE's ``Atoms``."""
        return [
            None if one is None else AseAtomsAdaptor.get_atoms(one, msonable=False)
            for one in self.structures
        ]

    def write(self, path: Path | str) -> None:
        """Write a parquet table, extxyz, a zip of CIFs, or a new folder of CIFs, by the suffix.

        All but the table leave out what cannot be decoded.

        Raises
        ------
        ValueError
            If the suffix is another one, or the folder is not empty.
        """
        check_out(Path(path))
        write_crystals(Path(path), self.table)
