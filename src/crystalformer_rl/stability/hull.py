"""Energy above the convex hull of formation energies, for all chemical systems.

Entries are indexed by chemical system. Those of a system and its subsystems are collected when it
is first needed, and then kept.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Composition

from crystalformer_rl.stability.elements import element_amounts, elements_of, parse_formula
from crystalformer_rl.stability.lower_hull import LowerHull

Status = Literal["ok", "no_energy", "no_element_reference", "no_correction", "ytterbium", "sparse"]
# Meaning of each status. The second, third and fourth are found before the hull is asked
# (reference.py).
STATUSES: Mapping[Status, str] = {
    "ok": "The structure has an energy above hull.",
    "no_energy": "The structure could not be decoded, or the potential gave no energy of it.",
    "no_element_reference": "The structure contains an element that has no reference energy.",
    "no_correction": "The energy must be corrected (MP2020), and pymatgen could not determine the "
    "correction from the structure.",
    "ytterbium": "The structure contains Yb, and `hull.exclude_ytterbium` is on.",
    "sparse": "The hull knows fewer compositions of the chemical system than "
    "`hull.min_references`.",
}

# An energy further below the hull than this, eV/atom, is more likely an error of the potential or
# a compound missing from the hull than a discovery.
ARTEFACT_BELOW = -0.1
SYSTEMS_KEPT = 16384
# Above this many elements the subsets of a system outnumber the systems of any data set.
MAX_ELEMENTS_ENUMERATED = 12


@dataclass(frozen=True)
class HullResult:
    """Energies above the hull of n compositions.

    Attributes
    ----------
    e_above_hull
        (n,) eV/atom, negative below the hull; NaN where the status is not ``ok`` or where the
        energy given was not finite.
    status
        (n,) see :data:`STATUSES`.
    references
        (n,) distinct compositions known in the chemical system, including those of its subsystems
        and elements. 0 where an element has no reference.
    compounds
        (n,) the same without the elements. Where it is 0, the hull consists of the elements alone
        and the energy above hull is only a formation energy.
    supported
        (n,) whether ``compounds`` is above 0 and the energy above hull not below
        ``ARTEFACT_BELOW``.
    """

    e_above_hull: NDArray[np.float64]
    status: list[Status]
    references: NDArray[np.int64]
    compounds: NDArray[np.int64]
    supported: NDArray[np.bool_]


@dataclass(frozen=True)
class _System:
    """The part of the hull in one chemical system, including its subsystems."""

    lower: LowerHull
    references: int


class Hull:
    """Convex hull of formation energies over all chemical systems, elements at 0.

    Equal to pymatgen's ``PhaseDiagram.get_e_above_hull(entry, allow_negative=True)``.

    Parameters
    ----------
    formulas
        Formulas of the entries; the formula of sodium nitride is ``"NaN"``, a string.
    formation_energies
        (n,) eV/atom.
    elements
        Symbols of the elements that have a reference energy, which is at 0. An entry of a pure
        element (another crystal of it) counts if it is lower.
    min_references
        Chemical systems with fewer known compositions than this are ``sparse``.
    exclude_ytterbium
        Give crystals with ytterbium no energy above hull. The Materials Project computed them with
        a pseudopotential (Yb_2) that is wrong for Yb3+ (pymatgen issue 2968), and potentials
        trained on its data have learned these energies.

    Raises
    ------
    ValueError
        If the lengths differ, a formula cannot be read or an energy is not finite.
    """

    def __init__(
        self,
        formulas: Sequence[str],
        formation_energies: ArrayLike,
        *,
        elements: Collection[str],
        min_references: int | None = None,
        exclude_ytterbium: bool = False,
    ) -> None:
        energies = np.asarray(formation_energies, dtype=np.float64)
        if energies.shape != (len(formulas),):
            raise ValueError(
                f"{len(formulas)} formulas need {len(formulas)} energies, "
                f"got shape {energies.shape}"
            )
        if not np.isfinite(energies).all():
            bad = int(np.flatnonzero(~np.isfinite(energies))[0])
            raise ValueError(
                f"entry {bad}, {formulas[bad]!r}: energy {energies[bad]} is not finite"
            )
        self.elements = frozenset(elements)
        self._min_references = min_references or 0
        self._exclude_ytterbium = exclude_ytterbium
        self._formulas, self._energies = list(formulas), energies
        self._rows = _rows_by_system(formulas)
        self._forget()

    def _forget(self) -> None:
        self._system = lru_cache(maxsize=SYSTEMS_KEPT)(self._find_system)
        self._lowest = cache(self._find_lowest)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is cached, which another process computes itself."""
        cached = ("_system", "_lowest")
        return {name: value for name, value in vars(self).items() if name not in cached}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def e_above_hull(
        self, compositions: Sequence[Composition], formation_energies: ArrayLike
    ) -> HullResult:
        """Energy above hull of each composition at its formation energy, eV/atom.

        Raises
        ------
        ValueError
            If the lengths differ or a composition is empty.
        """
        energies = np.asarray(formation_energies, dtype=np.float64)
        if energies.shape != (len(compositions),):
            raise ValueError(
                f"{len(compositions)} compositions need {len(compositions)} energies, "
                f"got shape {energies.shape}"
            )
        above = np.full(len(compositions), np.nan)
        references = np.zeros(len(compositions), dtype=np.int64)
        compounds = np.zeros(len(compositions), dtype=np.int64)
        status: list[Status] = ["ok"] * len(compositions)
        systems: dict[tuple[str, ...], list[tuple[int, list[float]]]] = {}
        for index, composition in enumerate(compositions):
            amounts = element_amounts(composition)
            if not amounts:
                raise ValueError(f"composition {index} is empty")
            symbols = tuple(sorted(amounts))
            if self.elements.issuperset(symbols):
                row = [amounts[symbol] for symbol in symbols]
                systems.setdefault(symbols, []).append((index, row))
            else:
                status[index] = "no_element_reference"
        for symbols, members in systems.items():
            system = self._system(symbols)
            rows = [index for index, _ in members]
            references[rows] = system.references
            compounds[rows] = system.references - len(symbols)
            flag = self._flag(symbols, system.references)
            if flag == "ok":
                fractions = _normalise(np.array([row for _, row in members]))
                above[rows] = energies[rows] - system.lower.energy(fractions)
            for index in rows:
                status[index] = flag
        above[~np.isfinite(energies)] = np.nan
        # A comparison with NaN is False.
        supported = (compounds > 0) & (above >= ARTEFACT_BELOW)
        return HullResult(above, status, references, compounds, supported)

    def _flag(self, symbols: tuple[str, ...], references: int) -> Status:
        if self._exclude_ytterbium and "Yb" in symbols:
            return "ytterbium"
        return "sparse" if references < self._min_references else "ok"

    def _find_system(self, symbols: tuple[str, ...]) -> _System:
        column = {symbol: index for index, symbol in enumerate(symbols)}
        parts = [(sorted(key), *self._lowest(key)) for key in self._subsystems(symbols)]
        energies = np.concatenate([np.zeros(0), *(found for _, _, found in parts)])
        fractions = np.zeros((len(energies), len(symbols)))
        row = compounds = 0
        for names, amounts, found in parts:
            rows, row = slice(row, row + len(found)), row + len(found)
            fractions[rows, [column[name] for name in names]] = amounts
            compounds += len(found) if len(names) > 1 else 0
        return _System(LowerHull(fractions, energies), compounds + len(symbols))

    def _subsystems(self, symbols: tuple[str, ...]) -> list[frozenset[str]]:
        """Chemical systems with entries among ``symbols``, in a fixed order."""
        if len(symbols) > MAX_ELEMENTS_ENUMERATED:
            whole = frozenset(symbols)
            return [key for key in self._rows if key <= whole]
        subsets = (
            frozenset(part)
            for size in range(1, len(symbols) + 1)
            for part in combinations(symbols, size)
        )
        return [key for key in subsets if key in self._rows]

    def _find_lowest(
        self, system: frozenset[str]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The compositions that have all elements of a system, and the lowest energy of each.

        Compositions are (m, n) atomic fractions in the alphabetical order of the symbols.
        """
        found: dict[tuple[float, ...], float] = {}
        for row in self._rows[system]:
            amounts, energy = parse_formula(self._formulas[row]), float(self._energies[row])
            total = sum(amounts.values())
            fractions = tuple(round(amounts[symbol] / total, 12) for symbol in sorted(amounts))
            found[fractions] = min(energy, found.get(fractions, energy))
        return _normalise(np.array([*found])), np.array([*found.values()])


def _rows_by_system(formulas: Sequence[str]) -> dict[frozenset[str], list[int]]:
    """The entries of each chemical system; their amounts are read when a crystal needs them."""
    systems: dict[frozenset[str], list[int]] = {}
    for row, formula in enumerate(formulas):
        systems.setdefault(elements_of(formula), []).append(row)
    return systems


def _normalise(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(amounts / amounts.sum(axis=1, keepdims=True), dtype=np.float64)
