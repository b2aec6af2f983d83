"""Crystals without pads, in flat arrays that can stay in a memory-mapped file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal.tokens import CrystalTokens, Index

SMALLEST, LARGEST = 0, 255


@dataclass(frozen=True, eq=False)
class PackedTokens:
    """B crystals of S sites together, the sites of crystal i at ``offset[i]:offset[i + 1]``.

    The arrays are never copied, so that they may be memory maps; the meaning of the numbers is
    that of :class:`CrystalTokens`.

    Attributes
    ----------
    space_group
        ``(B,)`` uint8.
    offset
        ``(B + 1,)`` int64, from 0 to S.
    wyckoff, element
        ``(S,)`` uint8.
    position
        ``(S, 3)`` float64.
    lattice
        ``(B, 6)`` float64.

    Raises
    ------
    ValueError
        If an array has another type or shape, or ``offset`` does not grow from 0 to S.
    """

    space_group: NDArray[np.uint8]
    offset: NDArray[np.int64]
    wyckoff: NDArray[np.uint8]
    element: NDArray[np.uint8]
    position: NDArray[np.float64]
    lattice: NDArray[np.float64]

    def __post_init__(self) -> None:
        crystals, sites = self.space_group.size, self.wyckoff.size
        expected: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
            "space_group": (np.uint8, (crystals,)),
            "offset": (np.int64, (crystals + 1,)),
            "wyckoff": (np.uint8, (sites,)),
            "element": (np.uint8, (sites,)),
            "position": (np.float64, (sites, 3)),
            "lattice": (np.float64, (crystals, 6)),
        }
        for name, (kind, shape) in expected.items():
            array = getattr(self, name)
            if array.dtype != kind or array.shape != shape:
                raise ValueError(
                    f"{name} must be {kind.__name__} of shape {shape}, got {array.dtype} of shape "
                    f"{array.shape}"
                )
        ends = self.offset[[0, -1]].tolist()
        if ends != [0, sites] or (self.num_sites < 0).any():
            raise ValueError(
                f"offset must grow from 0 to {sites}, the number of sites; it goes from {ends[0]} "
                f"to {ends[1]}" + (", and falls in between" if ends == [0, sites] else "")
            )

    @property
    def num_sites(self) -> NDArray[np.int64]:
        """``(B,)``: sites per crystal."""
        return np.diff(self.offset)

    def __len__(self) -> int:
        return len(self.space_group)

    def __getitem__(self, index: Index) -> CrystalTokens:
        """Some of the crystals as a batch, padded to the longest of them; only these are read."""
        rows = self._rows(index)
        start = self.offset[rows]
        count = self.offset[rows + 1] - start
        column = np.arange(count.max(initial=0))
        real = column < count[:, None]
        site = (start[:, None] + column)[real]
        wyckoff, element = np.zeros(real.shape, np.int64), np.zeros(real.shape, np.int64)
        position = np.zeros((*real.shape, 3))
        wyckoff[real], element[real] = self.wyckoff[site], self.element[site]
        position[real] = self.position[site]
        group = self.space_group[rows].astype(np.int64)
        return CrystalTokens(group, wyckoff, element, position, self.lattice[rows])

    def _rows(self, index: Index) -> NDArray[np.int64]:
        """Row numbers from 0 of anything that can index an array."""
        if isinstance(index, slice):
            return np.arange(*index.indices(len(self)))
        rows = np.atleast_1d(np.asarray(index))
        if rows.dtype == np.bool_:
            if rows.shape != (len(self),):
                raise IndexError(f"a mask of shape {rows.shape} for {len(self)} crystals")
            return np.flatnonzero(rows)
        rows = rows.astype(np.int64)
        if (wrong := (rows < -len(self)) | (rows >= len(self))).any():
            raise IndexError(f"crystal {rows[wrong][0]} of {len(self)}")
        return np.asarray(np.where(rows < 0, rows + len(self), rows))

    @classmethod
    def from_tokens(cls, tokens: CrystalTokens) -> "PackedTokens":
        """The same crystals without their pads.

        Raises
        ------
        ValueError
            If a crystal has a letter or an element after its first pad, or a number does not fit
            into a byte.
        """
        count = tokens.num_sites
        real = np.arange(tokens.max_sites) < count[:, None]
        if (wrong := ~real & ((tokens.wyckoff != 0) | (tokens.element != 0))).any():
            crystal = int(np.flatnonzero(wrong.any(axis=1))[0])
            raise ValueError(f"crystal {crystal} has a letter or an element after its first pad")
        return cls(
            space_group=_bytes("space_group", tokens.space_group),
            offset=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
            wyckoff=_bytes("wyckoff", tokens.wyckoff[real]),
            element=_bytes("element", tokens.element[real]),
            position=tokens.position[real],
            lattice=tokens.lattice,
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The six arrays by name, for a safetensors file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "PackedTokens":
        """Inverse of :meth:`to_arrays`; other names in ``arrays`` are left aside.

        Raises
        ------
        ValueError
            If an array is missing, or not as described above.
        """
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"token arrays {missing} are missing; there are {sorted(arrays)}")
        return cls(**{name: arrays[name] for name in names})


def _bytes(name: str, values: NDArray[np.int64]) -> NDArray[np.uint8]:
    if (wrong := (values < SMALLEST) | (values > LARGEST)).any():
        raise ValueError(f"{name} {values[wrong][0]} must be {SMALLEST} to {LARGEST}")
    return values.astype(np.uint8)
