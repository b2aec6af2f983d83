"""Energies of another kind than a hull needs: other functionals, total energies, other units."""

from collections.abc import Sequence
from dataclasses import replace

from crystalformer_rl.stability.elements import parse_formula
from crystalformer_rl.stability.entries import HullEntry
from crystalformer_rl.stability.functionals import PBE, PBE_U, is_pbe, kind_of

# eV/atom. The lowest crystal of an element has a formation energy of 0, apart from the noise of a
# calculation; a file may only have a high one.
_ELEMENT_RANGE = (-0.1, 1.0)
# eV/atom. The fluorides of the rare earths have the lowest formation energies, about -4.5.
FORMATION_RANGE = (-6.0, 10.0)
# Of the compounds; with fewer outside the range, these are single mistakes.
_MOST_OUTSIDE = 0.1
_SHOWN = 3


def refuse_other_functionals(source: str, entries: Sequence[HullEntry]) -> list[HullEntry]:
    """The entries of a file that states run types; all must be PBE.

    MP2020 uses a Hubbard U for oxides and fluorides only. Other energies with a U that have no
    correction have a ``problem``: they cannot be compared with those without.

    Raises
    ------
    ValueError
        If an entry is of another functional, such as r2SCAN.
    """
    others: dict[str, HullEntry] = {}
    found: list[HullEntry] = []
    for entry in entries:
        run_type = entry.run_type or PBE[0]
        if not is_pbe(run_type):
            others.setdefault(kind_of(run_type), entry)
        needless = kind_of(run_type) in PBE_U and entry.problem is None and entry.scheme is None
        found.append(_without_needless_u(entry) if needless else entry)
    if others:
        named = "; ".join(
            f"{entry.place}, {entry.id or 'without id'} ({entry.formula}): run_type "
            f"{entry.run_type}"
            for entry in list(others.values())[:_SHOWN]
        )
        raise ValueError(
            f"{source}: energies of another functional than PBE: {named}. They differ from PBE by "
            "some eV per atom: give entries of run types GGA and GGA+U only (thermo type "
            "GGA_GGA+U of the Materials Project)"
        )
    return found


def _without_needless_u(entry: HullEntry) -> HullEntry:
    if {"O", "F"} & parse_formula(entry.formula).keys():
        return entry
    return replace(
        entry,
        problem=f"{entry.formula}: run_type {entry.run_type}, but MP2020 uses a Hubbard U only in "
        "oxides and fluorides: its energy cannot be compared with those without U",
    )


def check_elements(source: str, entries: Sequence[HullEntry]) -> list[HullEntry]:
    """Formation energies, with a ``problem`` where an element is far below 0.

    Raises
    ------
    ValueError
        If an element has only such energies, or most elements are far above 0: these are not
        formation energies.
    """
    nearest: dict[str, HullEntry] = {}
    found: list[HullEntry] = []
    low, high = _ELEMENT_RANGE
    for entry in entries:
        symbols = [] if entry.problem else list(parse_formula(entry.formula))
        if len(symbols) == 1:
            best = nearest.setdefault(symbols[0], entry)
            if abs(entry.energy) < abs(best.energy):
                nearest[symbols[0]] = entry
        if len(symbols) == 1 and entry.energy < low:
            problem = f"formation energy {entry.energy:g} eV/atom: an element cannot be below 0"
            found.append(replace(entry, problem=f"{entry.formula}: {problem}"))
        else:
            found.append(entry)
    below = [entry for entry in nearest.values() if entry.energy < low]
    above = [entry for entry in nearest.values() if entry.energy > high]
    if below or 2 * len(above) > len(nearest):
        raise ValueError(
            f"{source}: the elements must be at 0 eV/atom, but there are "
            f"{_listed([*below, *above])}. Are these total energies? Formation energies are needed"
        )
    return found


def check_size(source: str, entries: Sequence[HullEntry]) -> list[HullEntry]:
    """Formation energies, with a ``problem`` where the size cannot be eV/atom.

    Raises
    ------
    ValueError
        If more than a tenth of the compounds have such a size: the unit is another one.
    """
    low, high = FORMATION_RANGE
    good = [entry for entry in entries if entry.problem is None]
    compounds = sum(len(parse_formula(entry.formula)) > 1 for entry in good)
    outside = [entry for entry in good if not low <= entry.energy <= high]
    if len(outside) > _MOST_OUTSIDE * compounds:
        raise ValueError(
            f"{source}: formation energies must be in eV/atom, between {low:g} and {high:g}, but "
            f"{len(outside)} are outside: {_listed(outside)}. Are they in kJ/mol or meV, or total "
            "energies?"
        )
    return [
        replace(
            entry,
            problem=f"{entry.formula}: formation energy {entry.energy:g} eV/atom: not between "
            f"{low:g} and {high:g}",
        )
        if entry.problem is None and not low <= entry.energy <= high
        else entry
        for entry in entries
    ]


def _listed(entries: Sequence[HullEntry]) -> str:
    named = ", ".join(
        f"{entry.formula} {entry.energy:g} ({entry.place})" for entry in entries[:_SHOWN]
    )
    return named + (", …" if len(entries) > _SHOWN else "")
