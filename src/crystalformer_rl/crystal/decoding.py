"""From tokens to structures: orbits of the sites in the primitive cell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Structure

from crystalformer_rl.crystal import lattice as cells
from crystalformer_rl.crystal import wyckoff as tables
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.physical import MAX_ELEMENT
from crystalformer_rl.crystal.tokens import CrystalTokens


@dataclass(frozen=True)
class Decoded:
    """A structure, or why there is none: exactly one of the two is None."""

    structure: Structure | None
    error: str | None


def decode(tokens: CrystalTokens) -> list[Decoded]:
    """Build the primitive cell of every crystal of a batch.

    Coordinates are projected onto the first Wyckoff position and the lattice is constrained by
    the space group, so any tokens within range have the symmetry they name. Atoms that fall on
    one another are kept: whether a crystal is physical is for others to judge.

    Returns
    -------
    list[Decoded]
        One per crystal; ``error`` says what forbids a crystal (a letter its group does not have,
        no sites, angles that close no cell, …).
    """
    results = []
    for crystal in range(len(tokens)):
        try:
            cell = _cell(tokens, crystal)
        except ValueError as error:
            results.append(Decoded(None, str(error)))
        else:
            results.append(Decoded(cell.structure(), None))
    return results


def primitive_cell(
    space_group: int,
    wyckoff: ArrayLike,
    element: ArrayLike,
    position: ArrayLike,
    lattice: ArrayLike,
) -> Cell:
    """The primitive cell of one crystal, its atoms in the order of the sites.

    Parameters
    ----------
    space_group
        1–230.
    wyckoff, element
        ``(n,)`` letters and atomic numbers, without pads.
    position
        ``(n, 3)`` fractional coordinates in the conventional cell.
    lattice
        ``(6,)`` lengths / (atoms in the conventional cell)^(1/3) in Å, angles in radians.

    Raises
    ------
    ValueError
        If the tokens name no crystal; the message says which value, and what is allowed.
    """
    letters, elements = np.asarray(wyckoff), np.asarray(element)
    xyz = np.asarray(position, dtype=float)
    tables.check_space_group(space_group)
    if not len(letters):
        raise ValueError("the crystal has no sites")
    for letter in letters.tolist():
        tables.check_letter(space_group, letter)
    if np.any((elements < 1) | (elements > MAX_ELEMENT)):
        raise ValueError(f"elements {elements}: each must be 1 to {MAX_ELEMENT}")
    if not np.isfinite(xyz).all():
        raise ValueError("a coordinate is not a finite number")
    matrix = _conventional_matrix(space_group, letters, lattice)
    maps = [tables.primitive_images(space_group, letter) for letter in letters.tolist()]
    counts = [len(images) for images in maps]
    images = np.concatenate(maps)
    places = np.repeat(xyz, counts, axis=0)
    atoms = (images[:, :, :3] @ places[:, :, None])[:, :, 0] + images[:, :, 3]
    return Cell(
        tables.primitive_basis(space_group) @ matrix,
        np.repeat(elements, counts).astype(np.int64),
        tables.wrap(atoms @ tables.to_primitive(space_group)),
    )


def _cell(tokens: CrystalTokens, crystal: int) -> Cell:
    wyckoff, element = tokens.wyckoff[crystal], tokens.element[crystal]
    count = int((wyckoff > 0).sum())
    if wyckoff[count:].any() or element[count:].any():
        raise ValueError(f"a site follows a pad: letters {wyckoff}, elements {element}")
    return primitive_cell(
        int(tokens.space_group[crystal]),
        wyckoff[:count],
        element[:count],
        tokens.position[crystal, :count],
        tokens.lattice[crystal],
    )


def _conventional_matrix(
    space_group: int, letters: NDArray[np.int64], lattice: ArrayLike
) -> NDArray[np.float64]:
    parameters = cells.constrain(space_group, lattice)
    num_atoms = tables.multiplicities()[space_group, letters].sum()
    parameters[:3] *= np.cbrt(num_atoms)
    lengths, angles = parameters[:3], parameters[3:]
    if not (np.isfinite(parameters).all() and (lengths > 0).all()):
        raise ValueError(f"cell lengths {lengths} Å: each must be positive and finite")
    if not (((angles > 0) & (angles < np.pi)).all() and cells.volume(parameters) > 0):
        raise ValueError(f"cell angles {np.degrees(angles)}°: they close no cell")
    return cells.matrix(parameters)
