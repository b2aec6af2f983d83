"""A source of crystals whose energies no one knows: the embedded ones have theirs."""

from pathlib import Path

import pandas as pd
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.files import write_table


def write_salts(path: Path, count: int) -> None:
    """Write ``count`` cells of rock salt of different lengths, in three splits."""
    halves = [2.5 + 0.5 * number / count for number in range(count)]
    cells = [
        Structure(
            Lattice([[0, half, half], [half, 0, half], [half, half, 0]]),
            ["Na", "Cl"],
            [[0, 0, 0], [0.5, 0.5, 0.5]],
        )
        for half in halves
    ]
    table = {
        "id": [f"salt-{number}" for number in range(count)],
        "split": [("train", "val", "test")[number % 3] for number in range(count)],
        **structure_columns(cells),
    }
    write_table(path, pd.DataFrame(table))
