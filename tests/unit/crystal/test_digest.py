"""The digest of a crystal is that of its columns in a table."""

import numpy as np
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.digest import cell_digest
from crystalformer_rl.crystal.structures import structure_columns

SALT = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.25]])


def test_rows_of_a_table_have_the_digest_of_their_structure() -> None:
    columns = structure_columns([SALT])
    flat = [np.array(columns[name][0]) for name in ("lattice", "numbers", "positions")]
    digest = cell_digest(SALT.lattice.matrix, SALT.atomic_numbers, SALT.frac_coords)
    assert cell_digest(*flat) == digest
    assert len(digest) == 32


def test_rounding_and_the_wrapping_of_coordinates_do_not_count() -> None:
    lattice, numbers, positions = 4.0 * np.eye(3), [11, 17], np.array([0, 0, 0, 0.5, 0.5, 0.25])
    digest = cell_digest(lattice, numbers, positions)
    same = [
        (lattice + 1e-12, positions),
        (lattice * [1, 1, -1] * [1, 1, -1], positions - 1e-13),
        (lattice, positions + 3),
    ]
    assert {cell_digest(cell, numbers, moved) for cell, moved in same} == {digest}
    others = [(lattice + 1e-6, numbers, positions), (lattice, numbers[::-1], positions)]
    others.append((lattice, numbers, positions + 1e-6))
    assert digest not in {cell_digest(*cell) for cell in others}
