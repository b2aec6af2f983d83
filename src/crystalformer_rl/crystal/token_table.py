"""Tokens in tables: a row per crystal, without pads."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike, NDArray

from crystalformer_rl.crystal.tokens import CrystalTokens

TOKEN_COLUMNS = ("space_group", "wyckoff", "element", "site_positions", "token_lattice")


def token_columns(
    tokens: CrystalTokens, *, whole: DTypeLike = np.int64, real: DTypeLike = np.float64
) -> dict[str, Any]:
    """The columns :data:`TOKEN_COLUMNS`.

    A crystal of n sites has n numbers in ``wyckoff`` and ``element``, 3n in ``site_positions`` and
    6 in ``token_lattice``, with the meaning of :class:`CrystalTokens`.

    Parameters
    ----------
    whole, real
        Types of the numbers; uint8 and float32 are enough for sampled crystals.
    """
    sites = tokens.num_sites.tolist()
    position = _in_cell(tokens.position.astype(real))
    return {
        "space_group": tokens.space_group.astype(whole),
        "wyckoff": _rows(tokens.wyckoff.astype(whole), sites),
        "element": _rows(tokens.element.astype(whole), sites),
        "site_positions": _rows(position, sites),
        "token_lattice": list(tokens.lattice.astype(real)),
    }


def tokens_of(table: pd.DataFrame) -> CrystalTokens:
    """The tokens of a table with the columns of :func:`token_columns`, padded to the longest.

    Raises
    ------
    ValueError
        If a column is missing, or the numbers of a row do not fit together.
    """
    if missing := [name for name in TOKEN_COLUMNS if name not in table.columns]:
        raise ValueError(
            f"token columns {missing} are missing; the table has {list(table.columns)}"
        )
    sites = [len(row) for row in table["wyckoff"]]
    for name, width in {"element": 1, "site_positions": 3}.items():
        for place, (row, count) in enumerate(zip(table[name], sites, strict=True)):
            if len(row) != width * count:
                raise ValueError(
                    f"row {place}: {name} has {len(row)} numbers, must be {width} × {count} sites"
                )
    longest = max(sites, default=0)
    positions = _padded(table["site_positions"], 3 * longest, np.float64)
    lattice = [np.asarray(row) for row in table["token_lattice"]]
    return CrystalTokens(
        space_group=table["space_group"].to_numpy(),
        wyckoff=_padded(table["wyckoff"], longest, np.int64),
        element=_padded(table["element"], longest, np.int64),
        position=positions.reshape(len(table), longest, 3),
        lattice=np.stack(lattice) if lattice else np.zeros((0, 6)),
    )


def _rows(values: NDArray[Any], sites: list[int]) -> list[NDArray[Any]]:
    return [row[:count].ravel() for row, count in zip(values, sites, strict=True)]


def _padded(column: "pd.Series[Any]", width: int, kind: DTypeLike) -> NDArray[Any]:
    table = np.zeros((len(column), width), dtype=kind)
    for place, row in enumerate(column):
        table[place, : len(row)] = row
    return table


def _in_cell(position: NDArray[Any]) -> NDArray[Any]:
    """Coordinates in [0, 1): 1 − 1e-9 is 1 in float32."""
    return np.where(position >= 1, np.zeros_like(position), position)
