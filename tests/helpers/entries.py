"""Entries of pymatgen as JSON, and files of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymatgen.core import Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry

SCHEME = MaterialsProject2020Compatibility(check_potcar=False)


def record(first: str, second: str | None = None, *, corrected: bool = False) -> dict[str, Any]:
    """A pymatgen entry of −3 eV/atom before corrections, as JSON would give it back."""
    structure = Structure(Lattice.cubic(4), [first, second or first], [[0, 0, 0], [0.5, 0.5, 0.5]])
    entry = ComputedStructureEntry(
        structure,
        -6.0,
        entry_id=f"{first}{second or ''}-1",
        parameters={"run_type": "GGA", "hubbards": {}, "software": "none", "potcar_symbols": []},
    )
    if corrected:
        SCHEME.process_entry(entry)
    found: dict[str, Any] = json.loads(json.dumps(entry.as_dict()))
    return found


def written(path: Path, content: Any, opener: Callable[..., Any] = open) -> Path:
    with opener(path, "wt") as stream:
        json.dump(content, stream)
    return path
