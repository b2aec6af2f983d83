"""From tokens to structures: orbits of the sites in the primitive cell."""

from dataclasses import dataclass
from functools import cached_property

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
    """A crystal, or why there is none: exactly one of ``cell`` and ``error`` is None."""

    cell: Cell | None
    error: str | None

    @cached_property
    def structure(self) -> Structure | None:
        """The crystal as a pymatgen structure, which takes longer than all the decoding."""
        return None if self.cell is None else self.cell.structure()


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
    results: list[Decoded | None] = [None] * len(tokens)
    good = np.flatnonzero(_within_range(tokens))
    chosen = tokens[good]
    here = chosen.wyckoff > 0
    num_atoms = (tables.multiplicities()[chosen.space_group[:, None], chosen.wyckoff] * here).sum(1)
    lattice = cells.constrain(chosen.space_group, chosen.lattice)
    lattice[:, :3] *= np.cbrt(num_atoms)[:, None]
    built = _cells(
        chosen.space_group,
        here.sum(axis=1),
        cells.matrix(lattice),
        sites=(chosen.wyckoff[here], chosen.element[here], chosen.position[here]),
    )
    for crystal, cell in zip(good.tolist(), built, strict=True):
        results[crystal] = Decoded(cell, None)
    return [
        _one_by_one(tokens, crystal) if result is None else result
        for crystal, result in enumerate(results)
    ]


def _within_range(tokens: CrystalTokens) -> NDArray[np.bool_]:
    """(B,) whether :func:`primitive_cell` would refuse nothing of a crystal."""
    group, letter, element = tokens.space_group, tokens.wyckoff, tokens.element
    known = (group >= 1) & (group <= tables.NUM_GROUPS)
    group = np.where(known, group, 1)
    here = letter > 0
    sites = np.arange(letter.shape[1]) < here.sum(axis=1)[:, None]
    fits = (letter <= tables.max_letter()[group][:, None]) & (element <= MAX_ELEMENT)
    fits &= (here == sites) & ((element > 0) == sites) & (letter >= 0) & (element >= 0)
    fits &= np.isfinite(tokens.position).all(axis=2) | ~here
    with np.errstate(invalid="ignore"):
        lattice = cells.constrain(group, tokens.lattice)
        closed = cells.volume(lattice) > 0
        closed &= ((lattice > 0) & np.isfinite(lattice)).all(axis=1)
        closed &= (lattice[:, 3:] < np.pi).all(axis=1)
    return np.asarray(known & here.any(axis=1) & fits.all(axis=1) & closed)


def _one_by_one(tokens: CrystalTokens, crystal: int) -> Decoded:
    try:
        return Decoded(_cell(tokens, crystal), None)
    except ValueError as error:
        return Decoded(None, str(error))


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
    one = np.array([space_group]), np.array([len(letters)])
    (cell,) = _cells(*one, matrix[None], sites=(letters, elements, xyz))
    return cell


def _cells(
    groups: NDArray[np.int64],
    counts: NDArray[np.int64],
    matrices: NDArray[np.float64],
    *,
    sites: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
) -> list[Cell]:
    """The primitive cells of B crystals with S sites in all.

    Parameters
    ----------
    groups, counts
        ``(B,)`` space groups, and numbers of sites.
    matrices
        ``(B, 3, 3)`` conventional cells, Å.
    sites
        Letters ``(S,)``, elements ``(S,)`` and coordinates ``(S, 3)``, crystal by crystal.
    """
    letters, elements, xyz = sites
    if not len(groups):
        return []
    owners, names = np.repeat(groups, counts).tolist(), groups.tolist()
    maps = [tables.primitive_images(*site) for site in zip(owners, letters.tolist(), strict=True)]
    sizes = np.array([len(images) for images in maps])
    images, places = np.concatenate(maps), np.repeat(xyz, sizes, axis=0)
    atoms = (images[:, :, :3] @ places[:, :, None])[:, :, 0] + images[:, :, 3]
    num_atoms = np.add.reduceat(sizes, np.cumsum(counts) - counts)
    turns = np.repeat(np.stack([tables.to_primitive(g) for g in names]), num_atoms, axis=0)
    positions = tables.wrap((atoms[:, None] @ turns)[:, 0])
    bases = np.stack([tables.primitive_basis(g) for g in names]) @ matrices
    ends = np.cumsum(num_atoms)[:-1]
    numbers = np.repeat(elements, sizes).astype(np.int64)
    parts = zip(bases, np.split(numbers, ends), np.split(positions, ends), strict=True)
    return [Cell(*part) for part in parts]


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
