"""The density functional that a record states for its energy."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

KEYS = ("run_type", "functional", "xc_functional", "calc_type", "thermo_type")
"""Names under which the functional is given, in entries and in tables."""
PBE, PBE_U = ("GGA", "PBE", "PE"), ("GGA+U", "PBE+U")
# The thermo type of the Materials Project does not say which entries have a Hubbard U.
_OF_EITHER = "GGA+GGA+U"
# Release of VASP's pseudopotentials.
_RELEASE = re.compile(r"[+.]?5[24]$")
NAMES = r"(?:r2)?SCAN|PBEsol|HSE06|LDA(?:[+_]U)?|PBE(?:[+_]U)?|GGA(?:[+_]U)?"
"""Functionals that ids end in, and that entries of a document are listed by."""


def kind_of(text: str) -> str:
    """A functional in one spelling: ``GGA_U`` and ``gga+u`` are ``GGA+U``.

    >>> kind_of("GGA Structure Optimization")
    'GGA'
    """
    words = text.upper().replace("_", "+").split() or [""]
    return _RELEASE.sub("", words[0])


def is_pbe(text: str) -> bool:
    """Whether a functional is PBE, with a Hubbard U or without."""
    return kind_of(text) in (*PBE, *PBE_U, _OF_EITHER)


def stated_functional(parts: Iterable[Mapping[str, Any]]) -> str | None:
    """The functional that a record states, by the parts that may do so; None if none does.

    If there are several statements, one of another functional than PBE counts.
    """
    found = [text for part in parts for key in KEYS if key in part and (text := _text(part[key]))]
    return next((text for text in found if not is_pbe(text)), found[0] if found else None)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("value")
    # Members of pymatgen's and emmet's enumerations, written as text.
    return re.sub(r"^(?:RunType|ThermoType|CalcType)\.", "", str(value or "")).strip()
