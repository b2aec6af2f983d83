"""The convex hulls of the binary and ternary systems in which a run found something.

Numbers are pymatgen's: ``PhaseDiagram`` of the formation energies that the run's hull consists of.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element

from crystalformer_rl.report.values import flag, numbers, text
from crystalformer_rl.stability.elements import elements_of, parse_formula
from crystalformer_rl.stability.hull import ARTEFACT_BELOW

ELEMENTS = (2, 3)
"""Numbers of elements of the systems that can be drawn."""
NEEDED = ["formula", "formation_energy_per_atom", "id"]
"""Columns of the hull's entries."""


@dataclass(frozen=True)
class Phase:
    """A known compound, or an element at 0: the crystal of lowest energy of its composition.

    Attributes
    ----------
    formula
        Reduced; of an element its symbol.
    id
        In the hull's entries; empty for an element at 0.
    energy
        Formation energy, eV/atom.
    above
        Energy above hull, eV/atom; 0 on the hull.
    """

    formula: str
    id: str
    energy: float
    above: float


@dataclass(frozen=True)
class Find:
    """A stable structure of the run.

    Attributes
    ----------
    row
        Its place in the table of structures that the systems were found in.
    formula
        Reduced.
    energy, above
        Formation energy and energy above hull, eV/atom.
    sun
        Whether it is S.U.N.
    rivals
        Phases of the hull that it would decompose into, as places in the system's phases.
    """

    row: int
    formula: str
    energy: float
    above: float
    sun: bool
    rivals: tuple[int, ...]


@dataclass(frozen=True)
class System:
    """A chemical system, its known phases and the finds in it.

    Attributes
    ----------
    elements
        Symbols, the least electronegative first.
    phases
        The elements, and the known compounds by formula.
    lines
        Pairs of phases that a line of the hull connects.
    finds
        By energy above hull.
    """

    elements: tuple[str, ...]
    phases: tuple[Phase, ...]
    lines: tuple[tuple[int, int], ...]
    finds: tuple[Find, ...]

    @property
    def name(self) -> str:
        """The elements, joined by a dash."""
        return "–".join(self.elements)

    def amounts(self, formula: str) -> list[float]:
        """Amounts of the elements in a formula."""
        found = parse_formula(formula)
        return [found.get(symbol, 0) for symbol in self.elements]


def systems(table: pd.DataFrame, hull: pd.DataFrame) -> list[System]:
    """The binary and ternary systems with a stable structure, that of the best find first.

    The best find is the S.U.N. structure of lowest energy above hull that is not so far below the
    hull that it is likely an artefact; systems without one come last.

    Parameters
    ----------
    table
        The table of structures.
    hull
        The entries of the hull that ``e_above_hull`` refers to: ``formula``,
        ``formation_energy_per_atom`` (eV/atom) and ``id``.
    """
    above, sun = numbers(table, "e_above_hull"), flag(table, "sun")
    formulas = text(table, "formula")
    found: dict[frozenset[str], list[_Stable]] = defaultdict(list)
    for row in np.flatnonzero(flag(table, "stable") & np.isfinite(above)).tolist():
        amounts = parse_formula(str(formulas[row]))
        if len(amounts) in ELEMENTS:
            one = _Stable(row, str(formulas[row]), float(above[row]), bool(sun[row]))
            found[frozenset(amounts)].append(one)
    entries = _entries(hull, found)
    drawn = [_system(symbols, stable, entries) for symbols, stable in found.items()]
    return sorted(drawn, key=_rank)


def encoded(found: Sequence[System]) -> bytes:
    """The systems as JSON; hull.js reads it. Energies are in meV/atom, to a tenth."""
    content = [
        {
            "elements": one.elements,
            "phases": [
                [phase.formula, one.amounts(phase.formula), phase.id, _milli(phase.energy),
                 _milli(phase.above)]
                for phase in one.phases
            ],
            "lines": one.lines,
            "finds": [
                [find.row, one.amounts(find.formula), _milli(find.energy), find.rivals]
                for find in one.finds
            ],
        }
        for one in found
    ]  # fmt: skip
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class _Stable:
    """A row of the table of structures that is stable, before its system is known."""

    row: int
    formula: str
    above: float
    sun: bool


Entries = Mapping[frozenset[str], Sequence[PDEntry]]


def _entries(hull: pd.DataFrame, systems: Iterable[frozenset[str]]) -> Entries:
    """The entries of the hull in one of the systems or a part of it, by their elements.

    Of several of one composition the lowest.
    """
    wanted = {
        frozenset(part)
        for symbols in systems
        for count in range(1, len(symbols) + 1)
        for part in combinations(symbols, count)
    }
    lowest: dict[str, PDEntry] = {}
    for formula, energy, name in hull[NEEDED].itertuples(index=False):
        if elements_of(formula) not in wanted:
            continue
        composition = Composition(formula)
        entry = PDEntry(composition, float(energy) * composition.num_atoms, name=str(name))
        other = lowest.get(composition.reduced_formula)
        if other is None or entry.energy_per_atom < other.energy_per_atom:
            lowest[composition.reduced_formula] = entry
    grouped: dict[frozenset[str], list[PDEntry]] = defaultdict(list)
    for formula in sorted(lowest):
        grouped[elements_of(formula)].append(lowest[formula])
    return grouped


def _system(symbols: frozenset[str], stable: Sequence[_Stable], entries: Entries) -> System:
    elements = sorted(symbols, key=lambda symbol: Element(symbol).iupac_ordering)
    known = [_element(symbol, entries) for symbol in elements]
    known += [
        entry
        for count in range(2, len(elements) + 1)
        for part in combinations(elements, count)
        for entry in entries.get(frozenset(part), ())
    ]
    diagram = PhaseDiagram(known, elements=[Element(symbol) for symbol in elements])
    places = {entry: place for place, entry in enumerate(known)}
    corners = [[places[diagram.qhull_entries[i]] for i in facet] for facet in diagram.facets]
    phases = [
        Phase(
            _formula(entry.composition), entry.name, entry.energy_per_atom,
            max(0.0, float(diagram.get_e_above_hull(entry))),
        )
        for entry in known
    ]  # fmt: skip
    finds = [_find(one, diagram, places) for one in stable]
    return System(
        tuple(elements),
        tuple(phases),
        tuple(sorted({pair for one in corners for pair in combinations(sorted(one), 2)})),
        tuple(sorted(finds, key=lambda find: (find.above, find.row))),
    )


def _formula(composition: Composition) -> str:
    """The reduced formula; of an element its symbol, not ``O2``."""
    symbols = composition.chemical_system_set
    return next(iter(symbols)) if len(symbols) == 1 else str(composition.reduced_formula)


def _element(symbol: str, entries: Entries) -> PDEntry:
    """The element at 0, unless a crystal of it is lower."""
    lower = [one for one in entries.get(frozenset([symbol]), ()) if one.energy_per_atom < 0]
    return lower[0] if lower else PDEntry(Composition(symbol), 0.0, name="")


def _find(one: _Stable, diagram: PhaseDiagram, places: Mapping[PDEntry, int]) -> Find:
    parts, height = diagram.get_decomp_and_hull_energy_per_atom(Composition(one.formula))
    rivals = tuple(sorted(places[part] for part in parts))
    return Find(one.row, one.formula, float(height) + one.above, one.above, one.sun, rivals)


def _rank(system: System) -> tuple[float, float, str]:
    sun = [one.above for one in system.finds if one.sun and one.above >= ARTEFACT_BELOW]
    return min(sun, default=np.inf), system.finds[0].above, system.name


def _milli(energy: float) -> float:
    return round(1000 * energy, 1) + 0.0
