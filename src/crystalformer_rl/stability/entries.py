"""Entries of a hull, and the scheme by which their energies were corrected.

Energies that were corrected by different schemes, or not at all, must not be on one hull: they
differ by some tenths of an eV per atom. The scheme of a file is found from its entries, and files
with different schemes are an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crystalformer_rl.stability.corrections import (
    MP2020,
    TRI2024,
    is_correctable,
    is_surely_corrected,
)
from crystalformer_rl.stability.elements import parse_formula

UNCORRECTED = "uncorrected"
# The scheme of a table of formation energies that does not state it.
UNSTATED = "unstated"


@dataclass(frozen=True)
class HullEntry:
    """One reference energy.

    Attributes
    ----------
    formula
        Of the compound.
    energy
        eV/atom, corrections included: a formation energy or a total energy.
    scheme
        What corrected it; None if it has no correction, perhaps because it needs none.
    id
        Its name in the file, if any.
    problem
        Why it cannot be on a hull, or None.
    run_type
        The functional of the calculation (``GGA``, ``GGA+U``, ``r2SCAN``), if stated.
    place
        Where it is: file and row.
    """

    formula: str
    energy: float
    scheme: str | None = None
    id: str | None = None
    problem: str | None = None
    run_type: str | None = field(default=None, compare=False)
    place: str | None = field(default=None, compare=False)


def scheme_of(path: Path, entries: Sequence[HullEntry]) -> str | None:
    """The correction scheme of a file's entries; None if it cannot be seen from them.

    Every scheme corrects oxides, so an oxide without a correction is uncorrected. TRI2024 corrects
    all entries, elements included. Which other compounds are corrected depends on the scheme.
    Without a correction, they are uncorrected if no entry of the file has one, or if the other
    entries have MP2020's and it corrects all structures of their composition.

    Raises
    ------
    ValueError
        If there are two schemes; the message names an entry of each.
    """
    first: dict[str, HullEntry] = {}
    bare: list[HullEntry] = []
    unadjusted: list[HullEntry] = []
    for entry in entries:
        if entry.problem is not None:
            continue
        if entry.scheme is not None:
            first.setdefault(entry.scheme, entry)
            continue
        unadjusted.append(entry)
        if is_correctable(symbols := parse_formula(entry.formula)):
            bare.append(entry)
            if "O" in symbols:
                first.setdefault(UNCORRECTED, entry)
    if not first and bare:
        return UNCORRECTED
    if set(first) == {MP2020}:
        for entry in bare:
            if is_surely_corrected(parse_formula(entry.formula)):
                first.setdefault(UNCORRECTED, entry)
    if TRI2024 in first and unadjusted:
        first.setdefault(UNCORRECTED, unadjusted[0])
    if len(first) > 1:
        named = "; ".join(
            f"{e.id or 'an entry without id'} ({e.formula}): {s}" for s, e in first.items()
        )
        raise ValueError(
            f"{path}: entries of different correction schemes do not mix: {named}. Give "
            "entries that were all corrected by the same scheme"
        )
    return next(iter(first), None)


def common_scheme(schemes: Mapping[Path, str | None]) -> str | None:
    """The correction scheme of several files; a file that shows no scheme fits any.

    Raises
    ------
    ValueError
        If two schemes differ; the message names the files.
    """
    known = {path: scheme for path, scheme in schemes.items() if scheme is not None}
    if len(set(known.values())) > 1:
        named = "; ".join(f"{path}: {scheme}" for path, scheme in known.items())
        raise ValueError(
            f"files of different correction schemes do not mix: {named}. Give files that were all "
            "corrected by the same scheme"
        )
    return next(iter(known.values()), None)


def lowest_elements(entries: Sequence[HullEntry]) -> dict[str, float]:
    """Lowest energy of each element among the entries, eV/atom by symbol."""
    lowest: dict[str, float] = {}
    for entry in entries:
        if entry.problem is None and len(symbols := parse_formula(entry.formula)) == 1:
            (symbol,) = symbols
            lowest[symbol] = min(entry.energy, lowest.get(symbol, entry.energy))
    return lowest
