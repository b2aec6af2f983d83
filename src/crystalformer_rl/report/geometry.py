"""Crystals in the conventional cell, for pictures and for the viewer of the page."""

from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.symmetry import Standard, sites, standardise_moyo

SYMPREC = 0.1  # Å; relaxed structures are symmetric within the accuracy of the relaxation
STEPS = 100_000  # of a fractional coordinate: 0.0001 Å in a cell of 10 Å


def conventional(structure: Structure) -> Structure:
    """The conventional cell in the standard setting; the cell as given if no symmetry is found."""
    standard = _standard(Cell.of(structure))
    return structure if standard is None else standard.cell.structure()


def geometry(structure: Structure) -> dict[str, Any]:
    """A crystal for the viewer, ready for JSON.

    Returns
    -------
    dict
        ``group``: the space group within :data:`SYMPREC`, null if none is found, and then the cell
        is the one given. ``cell``: a, b, c (Å), α, β, γ (degrees). ``atoms``: four integers for
        each atom of the conventional cell, the atomic number and the fractional coordinates in
        units of 1 / :data:`STEPS`. ``sites``: Wyckoff position, such as ``4a``, atomic number, x, y
        and z of each inequivalent site; empty if the atoms are not whole orbits of the group.
    """
    cell = Cell.of(structure)
    standard = _standard(cell)
    shown = cell if standard is None else standard.cell
    places = np.round((shown.positions % 1.0) * STEPS).astype(int) % STEPS
    lattice = shown.structure().lattice
    return {
        "group": None if standard is None else standard.space_group,
        "cell": [round(float(number), 4) for number in lattice.parameters],
        "atoms": np.column_stack([shown.numbers, places]).ravel().tolist(),
        "sites": [] if standard is None else _sites(standard),
    }


def _standard(cell: Cell) -> Standard | None:
    try:
        return standardise_moyo(cell, symprec=SYMPREC)
    except ValueError:
        return None


def _sites(standard: Standard) -> list[list[Any]]:
    try:
        found = sites(standard)
    except ValueError:
        return []
    positions = wyckoff.positions(standard.space_group)
    return [
        [
            f"{positions[site.letter - 1].multiplicity}{positions[site.letter - 1].letter}",
            site.element,
            *(round(float(number), 4) for number in site.xyz),
        ]
        for site in found
    ]
