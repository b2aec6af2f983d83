"""The known crystal to draw next to each structure: the one that it matches, or the nearest."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from crystalformer_rl.crystal.structures import readable_structures
from crystalformer_rl.report.geometry import geometry
from crystalformer_rl.report.values import numbers, text

LABELS = {
    "formation_energy_per_atom": ("formation energy of the dataset", "eV/atom", 3),
    "e_above_hull": ("energy above hull of the dataset", "eV/atom", 3),
    "band_gap": ("band gap of the dataset", "eV", 2),
}
"""Columns of the dataset that are shown: title, unit, digits."""


def ids(table: pd.DataFrame) -> list[str | None]:
    """Of each structure the id of the crystal that it matches, else of the nearest; or None."""
    matched, nearest = text(table, "matched_id"), text(table, "nearest_known_id")
    return [one or other for one, other in zip(matched, nearest, strict=True)]


def neighbours(table: pd.DataFrame, known: pd.DataFrame | None) -> dict[str, Any]:
    """The known crystals for the browser, ready for JSON.

    Parameters
    ----------
    table
        The structures that can be turned.
    known
        Rows of the dataset: ``id``, ``formula``, the columns of a structure, perhaps
        :data:`LABELS`. Those that no structure needs are left out; None: none is shown.

    Returns
    -------
    dict
        ``known``: each crystal as :func:`~.geometry.geometry` gives it, with ``id``, ``formula``
        and its ``labels``, null where the dataset has none. ``labels``: title, unit and digits of
        each. ``beside``: for each structure the place of its crystal in ``known``, or null.
    """
    wanted = ids(table)
    if known is None:
        return {"known": [], "labels": [], "beside": [None] * len(wanted)}
    known = known[known["id"].isin(set(wanted)) & ~known["id"].duplicated()]
    structures, _ = readable_structures(known)
    labels = [name for name in LABELS if name in known]
    columns = np.array([numbers(known, name) for name in labels]).reshape(len(labels), len(known))
    values = columns.T.tolist()
    found = [
        geometry(structure) | {"id": name, "formula": formula, "labels": _rounded(row, labels)}
        for structure, name, formula, row in zip(
            structures, text(known, "id"), text(known, "formula"), values, strict=True
        )
        if structure is not None
    ]
    places = {one["id"]: place for place, one in enumerate(found)}
    return {
        "known": found,
        "labels": [LABELS[name] for name in labels],
        "beside": [places.get(name) for name in wanted],
    }


def _rounded(values: Sequence[float], names: Sequence[str]) -> list[float | None]:
    return [
        round(float(value), LABELS[name][2]) if np.isfinite(value) else None
        for value, name in zip(values, names, strict=True)
    ]
