"""Reference energies, and by which scheme they were corrected.

Energies that were corrected by different schemes, or not at all, do not belong on one hull: they
differ by some tenths of an eV per atom. Each entry says how it was corrected as far as it shows;
files of which this does not fit together are refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crystalformer_rl.stability.corrections import is_correctable, is_surely_corrected
from crystalformer_rl.stability.elements import parse_formula

MP2020 = "MP2020"
UNCORRECTED = "uncorrected"
# A table of formation energies that does not say.
UNSTATED = "unstated"


@dataclass(frozen=True)
class Entry:
    """One reference energy.

    Attributes
    ----------
    formula
        Of the compound.
    energy
        eV/atom, corrections included: a formation energy or a total energy.
    scheme
        What corrected it; None where it carries no correction and may have needed none.
    id
        Its name in the file, if any.
    problem
        Why it has no place on a hull, if so.
    """

    formula: str
    energy: float
    scheme: str | None = None
    id: str | None = None
    problem: str | None = None


def scheme_of(path: Path, entries: Sequence[Entry]) -> str | None:
    """The correction scheme of a file's entries; None if they do not show any.

    Every scheme corrects oxides, so that one without a correction is uncorrected. What else is
    corrected differs: other compounds tell where no entry of the file carries a correction, or
    among entries of MP2020 where that corrects the composition whatever its structure.

    Raises
    ------
    ValueError
        If there are two; the message names an entry of each.
    """
    first: dict[str, Entry] = {}
    bare: list[Entry] = []
    for entry in entries:
        if entry.problem is not None:
            continue
        if entry.scheme is not None:
            first.setdefault(entry.scheme, entry)
        elif is_correctable(symbols := parse_formula(entry.formula)):
            bare.append(entry)
            if "O" in symbols:
                first.setdefault(UNCORRECTED, entry)
    if not first and bare:
        return UNCORRECTED
    if set(first) == {MP2020}:
        for entry in bare:
            if is_surely_corrected(parse_formula(entry.formula)):
                first.setdefault(UNCORRECTED, entry)
    if len(first) > 1:
        named = "; ".join(
            f"{e.id or 'one without id'} ({e.formula}): {s}" for s, e in first.items()
        )
        raise ValueError(f"{path}: entries of different correction schemes do not mix: {named}")
    return next(iter(first), None)


def common_scheme(schemes: Mapping[Path, str | None]) -> str | None:
    """The correction scheme of several files; a file that shows none goes with any.

    Raises
    ------
    ValueError
        If two differ; the message names the files.
    """
    known = {path: scheme for path, scheme in schemes.items() if scheme is not None}
    if len(set(known.values())) > 1:
        named = "; ".join(f"{path}: {scheme}" for path, scheme in known.items())
        raise ValueError(f"files of different correction schemes do not mix: {named}")
    return next(iter(known.values()), None)


def lowest_elements(entries: Sequence[Entry]) -> dict[str, float]:
    """Lowest energy of each element among the entries, eV/atom by symbol."""
    lowest: dict[str, float] = {}
    for entry in entries:
        if entry.problem is None and len(symbols := parse_formula(entry.formula)) == 1:
            (symbol,) = symbols
            lowest[symbol] = min(entry.energy, lowest.get(symbol, entry.energy))
    return lowest
