"""Constraints on crystals, and whether a space group can satisfy them.

Every constraint is a mask on letters or elements (:mod:`crystalformer_rl.model.masks`), so that
crystals are sampled from the model's density renormalised over the allowed tokens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from crystalformer_rl.config import SYMBOLS, ConstraintSettings
from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.model.transformer import ELEMENTS, LETTERS

NOBLE_GASES = (2, 10, 18, 36, 54, 86, 118)
_LISTED = 12


@dataclass(frozen=True, eq=False)
class Constraints:
    """Constraints that a crystal must satisfy.

    Attributes
    ----------
    elements
        ``(max_sites, 119)`` bool: elements allowed at each site, by atomic number; column 0 is
        False.
    required
        Atomic numbers that every crystal must contain.
    letters
        Template: exactly these Wyckoff letters (1 = 'a' … 27 = 'A'), followed by the pad.
    max_atoms
        Maximum number of atoms in the primitive cell.

    Raises
    ------
    ValueError
        If the mask has another shape or type, or a site without an element; if a required element
        is given twice or not allowed at some site, or there are more of them than sites; if the
        letters are not in order, exceed the number of sites, or are combined with ``max_atoms``.
    """

    elements: NDArray[np.bool_]
    required: tuple[int, ...] = ()
    letters: tuple[int, ...] | None = None
    max_atoms: int | None = None

    def __post_init__(self) -> None:
        if self.elements.dtype != np.bool_ or self.elements.shape[1:] != (ELEMENTS,):
            raise ValueError(
                f"elements must be bool of shape (max_sites, {ELEMENTS}), got "
                f"{self.elements.dtype} of shape {self.elements.shape}"
            )
        if self.elements[:, 0].any() or not self.elements.any(axis=1).all():
            raise ValueError("elements: at least one of 1 to 118 must be allowed at every site")
        if absent := [z for z in self.required if not self.elements[:, z].all()]:
            raise ValueError(f"required element {absent[0]} must be allowed at every site")
        if len(set(self.required)) < len(self.required):
            raise ValueError(f"required elements must be distinct, got {_names(self.required)}")
        sites, limit = self.max_sites, "model"
        if self.letters is not None:
            _check_template(self.letters, self.max_sites)
            sites, limit = len(self.letters), "template"
            if self.max_atoms is not None:
                raise ValueError("letters fix the number of atoms: set max_atoms to None")
        if len(self.required) > sites:
            raise ValueError(
                f"{len(self.required)} required elements ({_names(self.required)}), but the "
                f"{limit} has {sites} sites"
            )

    @property
    def max_sites(self) -> int:
        """Number of sites of the model that these constraints are for."""
        return len(self.elements)

    def check(self, space_groups: Iterable[int]) -> None:
        """Raise ``ValueError`` for the first group that cannot satisfy the constraints."""
        for group in sorted({int(group) for group in space_groups}):
            if (problem := self.problem(group)) is not None:
                raise ValueError(problem)

    def problem(self, group: int) -> str | None:
        """Why no crystal of the space group satisfies the constraints, or None if one can."""
        if self.letters is not None:
            return _problem_of_letters(self.letters, group)
        if self.max_atoms is not None:
            return self._problem_of_atoms(group, self.max_atoms)
        return None

    def _problem_of_atoms(self, group: int, max_atoms: int) -> str | None:
        atoms = primitive_multiplicities()[group]
        if max_atoms < (least := atoms[atoms > 0].min()):
            return (
                f"space group {group} has at least {least} atoms in its primitive cell: max_atoms "
                f"must be at least {least}, got {max_atoms}"
            )
        if not self.required:
            return None
        room = following_sites(group, max_atoms, self.max_sites)[0, -1]
        if len(self.required) > room:
            return (
                f"space group {group}: {len(self.required)} required elements "
                f"({_names(self.required)}), but max_atoms = {max_atoms} leaves room for {room} "
                f"sites"
            )
        return None


def unconstrained(max_sites: int) -> Constraints:
    """Constraints that allow everything."""
    elements = np.ones((max_sites, ELEMENTS), dtype=np.bool_)
    elements[:, 0] = False
    return Constraints(elements)


def build(settings: ConstraintSettings, *, max_sites: int) -> Constraints:
    """Constraints for a model of ``max_sites`` sites.

    Raises
    ------
    ValueError
        If no element is allowed at a site, a required element is not allowed, or there are more
        letters or lists of elements than sites; the message lists the allowed elements.
    """
    allowed = _allowed(settings)
    elements = np.tile(allowed, (max_sites, 1))
    by_site = settings.site_elements or []
    if len(by_site) > max_sites:
        raise ValueError(
            f"site_elements has {len(by_site)} sites, the model has at most {max_sites}"
        )
    for site, symbols in enumerate(by_site):
        elements[site] &= _mask(symbols)
        if not elements[site].any():
            raise ValueError(
                f"site_elements of site {site + 1}: none of {symbols} is allowed; allowed are "
                f"{_names(np.flatnonzero(allowed))}"
            )
    required = tuple(dict.fromkeys(map(atomic_number, settings.required)))
    for z in required:
        if not allowed[z]:
            raise ValueError(
                f"required element {symbol(z)} is not allowed; allowed are "
                f"{_names(np.flatnonzero(allowed))}"
            )
    letters = None
    if settings.wyckoff is not None:
        letters = tuple(wyckoff.LETTERS.index(letter) + 1 for letter in settings.wyckoff)
    return Constraints(elements, required, letters, settings.max_atoms)


@cache
def primitive_multiplicities() -> NDArray[np.int64]:
    """``(231, 28)``: atoms in the primitive cell by group and letter, 0 where there is none."""
    table = np.zeros((wyckoff.NUM_GROUPS + 1, LETTERS), dtype=np.int64)
    for group in range(1, len(table)):
        centring = round(1 / np.linalg.det(wyckoff.primitive_basis(group)))
        table[group] = wyckoff.multiplicities()[group] // centring
    table.flags.writeable = False
    return table


@cache
def following_sites(group: int, max_atoms: int, max_sites: int) -> NDArray[np.int64]:
    """Maximum number of sites after a letter, by letter and atoms left in the primitive cell.

    ``(28, n)``; row 0 counts from the start, the last column is for n − 1 atoms or more, which is
    ``max_atoms`` or enough for any site. The maximum takes the smallest positions first: those
    without freedom once each, the smallest with freedom as often as there is room.
    """
    atoms, free = primitive_multiplicities()[group], wyckoff.has_freedom()[group]
    highest = len(wyckoff.positions(group))
    left = np.arange(min(max_atoms, max_sites * int(primitive_multiplicities().max())) + 1)
    table = np.zeros((LETTERS, len(left)), dtype=np.int64)
    for letter in range(highest + 1):
        later = np.arange(letter if free[letter] else letter + 1, highest + 1)
        repeated = atoms[later[free[later]]].repeat(max_sites)
        sizes = np.sort(np.concatenate([atoms[later[~free[later]]], repeated]))[:max_sites]
        table[letter] = np.searchsorted(sizes.cumsum(), left, side="right")
    table.flags.writeable = False
    return table


def symbol(number: int) -> str:
    """Element symbol of an atomic number."""
    return SYMBOLS[number - 1]


def atomic_number(symbol: str) -> int:
    """Atomic number of an element symbol."""
    return SYMBOLS.index(symbol) + 1


def letter_name(letter: int) -> str:
    """Wyckoff letter of a number, 1 = 'a'."""
    return wyckoff.LETTERS[letter - 1]


def _check_template(letters: tuple[int, ...], max_sites: int) -> None:
    if not 1 <= len(letters) <= max_sites:
        raise ValueError(f"letters: give 1 to {max_sites}, got {len(letters)}")
    if list(letters) != sorted(letters) or not 1 <= letters[0] <= letters[-1] < LETTERS:
        raise ValueError(f"letters must be 1 to {LETTERS - 1} in order, got {letters}")


def _problem_of_letters(letters: tuple[int, ...], group: int) -> str | None:
    free = wyckoff.has_freedom()[group]
    highest = len(wyckoff.positions(group))
    has = f"space group {group} has the letters a to {letter_name(highest)}"
    if letters[-1] > highest:
        return f"Wyckoff letter {letter_name(letters[-1])} does not exist: {has}"
    for before, letter in pairwise(letters):
        if before == letter and not free[letter]:
            repeatable = ", ".join(letter_name(i) for i in range(1, highest + 1) if free[i])
            return (
                f"Wyckoff letter {letter_name(letter)} has no free coordinate and cannot be used "
                f"twice: {has}, of which {repeatable} may be repeated"
            )
    return None


def _allowed(settings: ConstraintSettings) -> NDArray[np.bool_]:
    allowed = _mask(SYMBOLS if settings.elements is None else settings.elements)
    if settings.exclude_radioactive:
        allowed[[z for z in range(1, ELEMENTS) if Element.from_Z(z).is_radioactive]] = False
    if settings.exclude_noble_gases:
        allowed[list(NOBLE_GASES)] = False
    if not allowed.any():
        raise ValueError(
            f"no element of {settings.elements} is left after excluding radioactive elements and "
            f"noble gases"
        )
    return allowed


def _mask(symbols: Sequence[str]) -> NDArray[np.bool_]:
    mask = np.zeros(ELEMENTS, dtype=np.bool_)
    mask[[atomic_number(one) for one in symbols]] = True
    return mask


def _names(elements: Sequence[int] | NDArray[np.int64]) -> str:
    """Symbols of the elements; a long list is cut and its length is given."""
    named = ", ".join(symbol(int(z)) for z in elements[:_LISTED])
    return named if len(elements) <= _LISTED else f"{named}, … ({len(elements)} elements)"
