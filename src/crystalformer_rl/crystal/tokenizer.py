"""From structures to tokens: standard setting, orbits, and a check that nothing was lost."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystalformer_rl.crystal import lattice as cells
from crystalformer_rl.crystal import wyckoff as tables
from crystalformer_rl.crystal.cell import Cell, volume_of
from crystalformer_rl.crystal.decoding import decode
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
# Crystals that a process works on at a time.
CHUNK = 64
# Far below what StructureMatcher allows (0.3 of the atomic spacing, 0.2 in length, 5°).
CLOSE = 0.1
SIMILAR = 0.01


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
    cell = _cell_or_rejection(structure)
    (result,) = _tokenize_cells([cell], symprec=symprec, max_sites=max_sites)
    return result


def tokenize_each(
    crystals: Iterable[Structure | Cell | Rejection],
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
    work = partial(_tokenize_cells, symprec=symprec, max_sites=max_sites)
    chunks = _chunks(map(_cell_or_rejection, crystals))
    yield from chain.from_iterable(spread(work, chunks, processes=processes))


def tokenize_many(
    crystals: Iterable[Structure | Cell | Rejection],
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
        ``(B,)``: index of each in ``crystals``.
    rejected
        Index and rejection of the others.
    """
    results = tokenize_each(crystals, symprec=symprec, max_sites=max_sites, processes=processes)
    kept, found, rejected = [], [], []
    for index, result in enumerate(track(results)):
        if isinstance(result, Rejection):
            rejected.append((index, result))
        else:
            kept.append(index)
            found.append(result)
    return batch(found, max_sites=max_sites + 1), np.array(kept, dtype=np.int64), rejected


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

    Settled by the known transformation where that suffices: the scalar products of the lattice
    vectors agree within 1 % of their lengths, and each input atom is within 0.1 Å of a decoded atom
    of the same element, one to one. That is stricter than ``StructureMatcher`` with its default
    tolerances, which decides the rest. As for ``StructureMatcher``, a crystal and its mirror image
    are the same.
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
    copies = round(volume_of(whole))
    if np.abs(change - whole).max() > 1e-3 or copies * len(decoded.numbers) != len(cell.numbers):
        return False
    ours, theirs = (matrix @ matrix.T for matrix in (cell.matrix, whole @ decoded.matrix))
    lengths = np.sqrt(ours.diagonal())
    if (np.abs(ours - theirs) > SIMILAR * np.outer(lengths, lengths)).any():
        return False
    moved = (cell.positions - standard.shift) @ to_standard @ to_primitive
    offset = moved[:, None] - decoded.positions[None]
    translation = np.rint(offset)
    apart = np.dot(offset - translation, decoded.matrix)
    near = np.vecdot(apart, apart) < CLOSE**2
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


def _tokenize_cells(
    cells: Sequence[Cell | Rejection], *, symprec: float, max_sites: int
) -> list[SiteTokens | Rejection]:
    """Tokens of some crystals; see :func:`tokenize`."""
    results: list[SiteTokens | Rejection] = []
    waiting: dict[int, Cell] = {}
    for place, cell in enumerate(cells):
        if isinstance(cell, Rejection):
            results.append(cell)
        elif ((cell.numbers < 1) | (cell.numbers > MAX_ELEMENT)).any():
            unknown = f"atomic numbers {sorted(set(cell.numbers.tolist()))}"
            results.append(Rejection("element", unknown))
        else:
            results.append(Rejection("no_symmetry", ""))
            waiting[place] = cell
    for standardise in (standardise_moyo, standardise_spglib):
        made = _attempt(standardise, list(waiting.values()), symprec=symprec)
        for place, (tokens, failure) in zip(list(waiting), made, strict=True):
            before = results[place]
            assert isinstance(before, Rejection)
            if tokens is None:
                detail = f"{before.detail}; {failure}" if before.detail else failure
                results[place] = Rejection(before.reason, detail)
            elif failure:
                results[place] = Rejection("no_match", failure)
            else:
                results[place] = tokens
                del waiting[place]
    return [_of_few_sites(result, max_sites) for result in results]


def _attempt(
    standardise: Callable[..., Standard], crystals: Sequence[Cell], *, symprec: float
) -> list[tuple[SiteTokens | None, str]]:
    """Tokens of each crystal, None if there are none, and why they are not those of the crystal."""
    made: list[tuple[Standard, list[Site]] | str] = []
    for cell in crystals:
        try:
            standard = standardise(cell, symprec=symprec)
            made.append((standard, sites(standard)))
        except ValueError as error:
            made.append(str(error))
    tokens = _site_tokens([one for one in made if not isinstance(one, str)])
    longest = max((len(one.wyckoff) for one in tokens), default=0)
    # All at once: one by one this takes as long as finding the symmetry.
    decoded = zip(tokens, decode(batch(tokens, max_sites=longest)), strict=True)
    results: list[tuple[SiteTokens | None, str]] = []
    for cell, one in zip(crystals, made, strict=True):
        if isinstance(one, str):
            results.append((None, one))
            continue
        (standard, _), (own, again) = one, next(decoded)
        if again.cell is None:
            results.append((None, str(again.error)))
        elif leads_back(cell, standard, again.cell):
            results.append((own, ""))
        else:
            other = f"decoded in space group {own.space_group} it is another structure"
            results.append((own, other))
    return results


def _of_few_sites(result: SiteTokens | Rejection, max_sites: int) -> SiteTokens | Rejection:
    if isinstance(result, SiteTokens) and len(result.wyckoff) > max_sites:
        detail = f"{len(result.wyckoff)} sites, at most {max_sites}"
        return Rejection("too_many_sites", detail)
    return result


def _site_tokens(crystals: Sequence[tuple[Standard, Sequence[Site]]]) -> list[SiteTokens]:
    """The tokens of crystals in the standard setting, with their sites."""
    if not crystals:
        return []
    standards = [standard for standard, _ in crystals]
    matrices = np.stack([standard.cell.matrix for standard in standards])
    groups = [standard.space_group for standard in standards]
    lattices = cells.constrain(groups, cells.parameters(matrices))
    lattices[:, :3] /= np.cbrt([len(standard.cell.numbers) for standard in standards])[:, None]
    return [
        SiteTokens(
            space_group=group,
            wyckoff=np.array([site.letter for site in found], dtype=np.int64),
            element=np.array([site.element for site in found], dtype=np.int64),
            position=np.array([site.xyz for site in found]),
            lattice=lattice,
        )
        for group, (_, found), lattice in zip(groups, crystals, lattices, strict=True)
    ]


def _cell_or_rejection(crystal: Structure | Cell | Rejection) -> Cell | Rejection:
    if isinstance(crystal, Rejection):
        return crystal
    if isinstance(crystal, Structure):
        if not crystal.is_ordered:
            return Rejection("disordered", f"{crystal.formula} has partially occupied sites")
        crystal = Cell.of(crystal)
    try:
        refuse_unphysical(crystal, min_distance=0)
    except ValueError as error:
        return Rejection("not_physical", str(error))
    return crystal


def _chunks(cells: Iterable[Cell | Rejection]) -> Iterator[list[Cell | Rejection]]:
    left = iter(cells)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
