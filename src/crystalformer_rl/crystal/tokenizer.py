"""From structures to tokens: standard setting, orbits, and a check that nothing was lost."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystalformer_rl.crystal import lattice as cells
from crystalformer_rl.crystal import wyckoff as tables
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.decoding import primitive_cell
from crystalformer_rl.crystal.physical import MAX_ELEMENT, refuse_unphysical
from crystalformer_rl.crystal.symmetry import (
    Site,
    Standard,
    sites,
    standardise_moyo,
    standardise_spglib,
)
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.jobs.pool import spread

Reason = Literal[
    "unreadable",
    "disordered",
    "not_physical",
    "element",
    "no_symmetry",
    "too_many_sites",
    "no_match",
]
CHUNK = 64
# Far below what StructureMatcher allows (0.3 of the atomic spacing, 0.2 in length, 5°).
CLOSE = 0.1
SIMILAR_LENGTH = 0.01
SIMILAR_ANGLE = np.radians(1.0)


@dataclass(frozen=True)
class SiteTokens:
    """One crystal: as a row of :class:`CrystalTokens`, without pads."""

    space_group: int
    wyckoff: NDArray[np.int64]
    element: NDArray[np.int64]
    position: NDArray[np.float64]
    lattice: NDArray[np.float64]


@dataclass(frozen=True)
class Rejection:
    """Why a structure has no tokens: a reason to count, and the particulars."""

    reason: Reason
    detail: str


def tokenize(structure: Structure, *, symprec: float, max_sites: int) -> SiteTokens | Rejection:
    """Tokens of a crystal in the standard setting of its space group.

    The symmetry is moyo's at ``symprec``; where moyo fails, or gives atoms that are not whole
    orbits, or tokens that do not lead back to the structure, spglib is asked.

    Parameters
    ----------
    symprec
        Symmetry tolerance, Å.
    max_sites
        Reject crystals with more symmetry-inequivalent sites.

    Returns
    -------
    SiteTokens | Rejection
        Tokens are returned only if their decoded structure matches the input: see
        :func:`leads_back`.
    """
    return _tokenize_or_reject(_cell_or_rejection(structure), symprec=symprec, max_sites=max_sites)


def tokenize_each(
    structures: Iterable[Structure | Rejection],
    *,
    symprec: float,
    max_sites: int,
    processes: int = 1,
) -> Iterator[SiteTokens | Rejection]:
    """Tokens of many crystals, in their order, from ``processes`` worker processes.

    The result does not depend on ``processes``. What was rejected before is passed through.

    Raises
    ------
    ChildProcessError
        If a worker process dies.
    """
    work = partial(_tokenize_or_reject, symprec=symprec, max_sites=max_sites)
    inputs = map(_cell_or_rejection, structures)
    yield from spread(work, inputs, processes=processes, chunk=CHUNK)


def tokenize_many(
    structures: Iterable[Structure | Rejection],
    *,
    symprec: float,
    max_sites: int,
    processes: int = 1,
    track: Callable[[Iterable[SiteTokens | Rejection]], Iterable[SiteTokens | Rejection]] = iter,
) -> tuple[CrystalTokens, NDArray[np.int64], list[tuple[int, Rejection]]]:
    """Tokenize all, and tell which were kept.

    Parameters
    ----------
    track
        Passes results through, for a progress bar.

    Returns
    -------
    tokens
        Of the kept crystals, padded to ``max_sites + 1``.
    kept
        ``(B,)``: index of each in ``structures``.
    rejected
        Index and rejection of the others.
    """
    results = tokenize_each(structures, symprec=symprec, max_sites=max_sites, processes=processes)
    kept, crystals, rejected = [], [], []
    for index, result in enumerate(track(results)):
        if isinstance(result, Rejection):
            rejected.append((index, result))
        else:
            kept.append(index)
            crystals.append(result)
    return batch(crystals, max_sites=max_sites + 1), np.array(kept, dtype=np.int64), rejected


def batch(crystals: Sequence[SiteTokens], *, max_sites: int) -> CrystalTokens:
    """Pad single crystals to ``max_sites`` and stack them."""
    shape = (len(crystals), max_sites)
    wyckoff, element = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    position, lattice = np.zeros((*shape, 3)), np.zeros((len(crystals), 6))
    for row, crystal in enumerate(crystals):
        count = len(crystal.wyckoff)
        if count > max_sites:
            raise ValueError(f"crystal {row} has {count} sites, the batch holds {max_sites}")
        wyckoff[row, :count], element[row, :count] = crystal.wyckoff, crystal.element
        position[row, :count], lattice[row] = crystal.position, crystal.lattice
    space_group = np.array([crystal.space_group for crystal in crystals], dtype=np.int64)
    return CrystalTokens(space_group, wyckoff, element, position, lattice)


def leads_back(cell: Cell, standard: Standard, decoded: Cell) -> bool:
    """Whether the decoded primitive cell is the crystal that the tokens were made from.

    Settled by the known transformation where that suffices: the lattices agree within 1 % and 1°
    and each input atom is within 0.1 Å of a decoded atom of the same element, one to one. That
    is stricter than ``StructureMatcher`` with its default tolerances, which decides the rest. As
    for ``StructureMatcher``, a crystal and its mirror image are the same.
    """
    return _coincide(cell, standard, decoded) or bool(
        StructureMatcher().fit(cell.structure(), decoded.structure())
    )


def _coincide(cell: Cell, standard: Standard, decoded: Cell) -> bool:
    to_primitive = tables.to_primitive(standard.space_group)
    to_standard = np.linalg.inv(standard.linear).T
    # Input vectors in units of the decoded primitive ones: integers if one tiles the other.
    change = to_standard @ to_primitive
    whole = np.round(change)
    copies = round(abs(np.linalg.det(whole)))
    if np.abs(change - whole).max() > 1e-3 or copies * len(decoded.numbers) != len(cell.numbers):
        return False
    ours, theirs = cells.parameters(np.stack([cell.matrix, whole @ decoded.matrix]))
    if np.abs(ours[:3] / theirs[:3] - 1).max() > SIMILAR_LENGTH:
        return False
    if np.abs(ours[3:] - theirs[3:]).max() > SIMILAR_ANGLE:
        return False
    moved = (cell.positions - standard.shift) @ to_standard @ to_primitive
    offset = moved[:, None] - decoded.positions[None]
    translation = np.round(offset)
    apart = (offset - translation) @ decoded.matrix
    near = np.einsum("ijk,ijk->ij", apart, apart) < CLOSE**2
    near &= cell.numbers[:, None] == decoded.numbers[None]
    if not (near.sum(axis=1) == 1).all():
        return False
    partner = near.argmax(axis=1)
    if copies == 1:
        return len(set(partner.tolist())) == len(partner)
    # Distinct atoms of the input must be distinct atoms of the decoded crystal, which repeats
    # `copies` times in the input cell; with equal numbers the pairing is then one to one.
    copy = translation[np.arange(len(partner)), partner] @ np.linalg.inv(whole) * copies
    pairs = np.column_stack([partner, np.round(copy).astype(int) % copies])
    return len(np.unique(pairs, axis=0)) == len(pairs)


def _tokenize_cell(cell: Cell, *, symprec: float, max_sites: int) -> SiteTokens | Rejection:
    if np.any((cell.numbers < 1) | (cell.numbers > MAX_ELEMENT)):
        return Rejection("element", f"atomic numbers {sorted(set(cell.numbers.tolist()))}")
    rejection = Rejection("no_symmetry", "")
    for standardise in (standardise_moyo, standardise_spglib):
        try:
            standard = standardise(cell, symprec=symprec)
            found = sites(standard)
            tokens = _site_tokens(standard, found)
            decoded = primitive_cell(
                tokens.space_group, tokens.wyckoff, tokens.element, tokens.position, tokens.lattice
            )
        except ValueError as error:
            detail = f"{rejection.detail}; {error}" if rejection.detail else str(error)
            rejection = Rejection(rejection.reason, detail)
            continue
        if not leads_back(cell, standard, decoded):
            detail = f"decoded in space group {tokens.space_group} it is another structure"
            rejection = Rejection("no_match", detail)
        elif len(found) > max_sites:
            return Rejection("too_many_sites", f"{len(found)} sites, at most {max_sites}")
        else:
            return tokens
    return rejection


def _site_tokens(standard: Standard, found: Sequence[Site]) -> SiteTokens:
    lattice = cells.constrain(standard.space_group, cells.parameters(standard.cell.matrix))
    lattice[:3] /= np.cbrt(len(standard.cell.numbers))
    return SiteTokens(
        space_group=standard.space_group,
        wyckoff=np.array([site.letter for site in found], dtype=np.int64),
        element=np.array([site.element for site in found], dtype=np.int64),
        position=np.array([site.xyz for site in found]),
        lattice=lattice,
    )


def _cell_or_rejection(structure: Structure | Rejection) -> Cell | Rejection:
    if isinstance(structure, Rejection):
        return structure
    if not structure.is_ordered:
        return Rejection("disordered", f"{structure.formula} has partially occupied sites")
    try:
        refuse_unphysical(structure, min_distance=0)
    except ValueError as error:
        return Rejection("not_physical", str(error))
    return Cell.of(structure)


def _tokenize_or_reject(
    cell: Cell | Rejection, *, symprec: float, max_sites: int
) -> SiteTokens | Rejection:
    if isinstance(cell, Rejection):
        return cell
    return _tokenize_cell(cell, symprec=symprec, max_sites=max_sites)
