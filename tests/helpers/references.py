"""A small reference for judging crystals, in place of MP-20."""

from pathlib import Path

import pandas as pd

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.files import write_table
from helpers.crystals import rock_salt


def write_reference(folder: Path) -> Path:
    """Rock salt of three kinds, with energies by both potentials that are about right."""
    crystals = [rock_salt(), rock_salt("K", "Br", 6.6), rock_salt("Mg", "O", 4.21)]
    table = {
        "id": ["NaCl", "KBr", "MgO"],
        "split": ["train", "train", "val"],
        **structure_columns(crystals),
        "energy_per_atom:chgnet": [-3.67, -3.2, -6.31],
        "energy_per_atom:sevennet": [-3.38, -2.9, -5.98],
    }
    write_table(folder / "crystals.parquet", pd.DataFrame(table))
    return folder
