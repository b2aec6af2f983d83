"""The contents that a CIF declares, compared with the atoms that were read."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from pymatgen.core import Composition, Element

_PART = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?")
# Isotopes of hydrogen that have symbols.
HYDROGEN = {"D": "H", "T": "H"}
SYMBOLS = frozenset(element.name for element in Element).union(HYDROGEN)
# Relative: amounts of a formula are rounded, and so are volumes.
_SAME_RATIO, _SAME_VOLUME = 0.01, 0.02


def amounts_of(formula: str) -> dict[str, float]:
    """Amount of each element of a formula such as ``H2 Mg O2`` or ``Mg (O H)2``.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    found: Counter[str] = Counter()
    parts = [_PART.fullmatch(part) for part in formula.split()]
    if parts and all(part and part[1] in SYMBOLS for part in parts):
        for part in parts:
            assert part is not None
            found[HYDROGEN.get(part[1], part[1])] += float(part[2] or 1)  # type: ignore[assignment]
    else:
        try:
            read = Composition(formula.replace(" ", ""), strict=True).get_el_amt_dict()
        except Exception as error:
            # Composition reports what it cannot read with errors of several kinds.
            raise ValueError(f"the formula {formula!r} cannot be read: {error}") from error
        for symbol, amount in read.items():
            found[HYDROGEN.get(symbol, symbol)] += amount
    if not found or min(found.values()) <= 0:
        raise ValueError(f"the formula {formula!r} has no atoms of an element")
    return dict(found)


def refuse_other_contents(
    symbols: Iterable[str],
    volume: float,
    *,
    formula: str | None,
    units: float | None,
    declared_volume: float | None,
) -> None:
    """Raise if the atoms of a cell are not those that the CIF declares.

    Parameters
    ----------
    symbols
        Of each atom of the cell.
    volume, declared_volume
        Of the cell, Å³.
    formula
        The declared formula: of a formula unit, or (as pymatgen writes it) of the whole cell.
    units
        Formula units per cell.

    Raises
    ------
    ValueError
        If elements, their ratio, their number or the volume differ; the message has both values.
    """
    if declared_volume and abs(volume / declared_volume - 1) > _SAME_VOLUME:
        raise ValueError(
            f"the CIF declares a volume of {declared_volume:g} Å³, its cell has {volume:.2f} Å³"
        )
    if formula is None:
        return
    found, declared = Counter(symbols), amounts_of(formula)
    ratios = {symbol: found[symbol] / amount for symbol, amount in declared.items()}
    low, high = min(ratios.values()), max(ratios.values())
    if set(found) != set(declared) or high - low > _SAME_RATIO * high:
        raise ValueError(f"the CIF declares {formula!r}, its sites give {_text(found)!r}")
    if high < 1 - _SAME_RATIO:
        raise ValueError(
            f"the CIF declares {formula!r}, its sites give less than that: {_text(found)!r}"
        )
    if units and all(abs(high / count - 1) > _SAME_RATIO for count in (1, units)):
        raise ValueError(
            f"the CIF declares {units:g} formula units of {formula!r} per cell, its sites give "
            f"{high:g}: {_text(found)!r}"
        )


def _text(found: Mapping[str, int]) -> str:
    return " ".join(f"{symbol}{count}" for symbol, count in sorted(found.items()))
