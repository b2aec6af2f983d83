"""A batch of crystals as arrays: the one form that tokenizer, model and decoder share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.crystal import wyckoff as tables

Index = int | np.integer[Any] | slice | Sequence[int] | NDArray[Any]


@dataclass(frozen=True)
class CrystalTokens:
    """B crystals of at most N symmetry-inequivalent sites (arXiv 2403.15734).

    Attributes
    ----------
    space_group
        ``(B,)`` 1–230.
    wyckoff
        ``(B, N)`` Wyckoff letter: 1 = 'a' … 27 = 'A', 0 = pad; pads follow the sites.
    element
        ``(B, N)`` atomic number, 0 = pad.
    position
        ``(B, N, 3)`` fractional coordinates of the orbit's first Wyckoff position, in [0, 1).
    lattice
        ``(B, 6)`` conventional cell: lengths over (its number of atoms)^(1/3) in Å, angles in
        radians.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """

    space_group: NDArray[np.int64]
    wyckoff: NDArray[np.int64]
    element: NDArray[np.int64]
    position: NDArray[np.float64]
    lattice: NDArray[np.float64]

    def __post_init__(self) -> None:
        for field in fields(self):
            kind = np.float64 if field.name in ("position", "lattice") else np.int64
            array = np.ascontiguousarray(getattr(self, field.name), dtype=kind)
            object.__setattr__(self, field.name, array)
        if self.wyckoff.ndim != 2:
            raise ValueError(f"wyckoff must be (B, N), got shape {self.wyckoff.shape}")
        batch, sites = self.wyckoff.shape
        expected = {
            "space_group": (batch,),
            "element": (batch, sites),
            "position": (batch, sites, 3),
            "lattice": (batch, 6),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, got {getattr(self, name).shape}")

    @property
    def num_sites(self) -> NDArray[np.int64]:
        """``(B,)``: sites that are not pads."""
        return np.asarray((self.wyckoff > 0).sum(axis=1))

    @property
    def num_atoms(self) -> NDArray[np.int64]:
        """``(B,)``: atoms in the conventional cell, the sum of the multiplicities."""
        table = tables.multiplicities()
        return np.asarray(table[self.space_group[:, None], self.wyckoff].sum(axis=1))

    @property
    def max_sites(self) -> int:
        """N, the length of the padded sequence."""
        return int(self.wyckoff.shape[1])

    def __len__(self) -> int:
        return len(self.space_group)

    def __getitem__(self, index: Index) -> "CrystalTokens":
        """Some of the crystals, still as a batch (one for an integer)."""
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"crystal {index} of a batch of {len(self)}")
            index = [int(index)]
        return CrystalTokens(**{n: array[index] for n, array in self.to_arrays().items()})

    @classmethod
    def concatenate(cls, batches: Sequence["CrystalTokens"]) -> "CrystalTokens":
        """One batch of all, padded to the longest."""
        if not batches:
            raise ValueError("no batches to concatenate")
        longest = max(batch.max_sites for batch in batches)
        parts = [batch.pad_to(longest).to_arrays() for batch in batches]
        return cls(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    @classmethod
    def empty(cls, max_sites: int) -> "CrystalTokens":
        """A batch of no crystals."""
        return cls(
            space_group=np.zeros(0, dtype=np.int64),
            wyckoff=np.zeros((0, max_sites), dtype=np.int64),
            element=np.zeros((0, max_sites), dtype=np.int64),
            position=np.zeros((0, max_sites, 3)),
            lattice=np.zeros((0, 6)),
        )

    def pad_to(self, max_sites: int) -> "CrystalTokens":
        """The same crystals in a sequence of ``max_sites``.

        Raises
        ------
        ValueError
            If a crystal has more sites.
        """
        longest = int(self.num_sites.max(initial=0))
        if longest > max_sites:
            raise ValueError(f"cannot pad to {max_sites} sites: a crystal has {longest}")
        arrays = self.to_arrays()
        for name in ("wyckoff", "element", "position"):
            kept = arrays[name][:, :max_sites]
            padded = np.zeros((len(self), max_sites, *kept.shape[2:]), dtype=kept.dtype)
            padded[:, : kept.shape[1]] = kept
            arrays[name] = padded
        return CrystalTokens(**arrays)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The five arrays by name, for a safetensors file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "CrystalTokens":
        """Inverse of :meth:`to_arrays`; other names in ``arrays`` are left aside.

        Raises
        ------
        ValueError
            If an array is missing.
        """
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"token arrays {missing} are missing; there are {sorted(arrays)}")
        return cls(**{name: arrays[name] for name in names})
