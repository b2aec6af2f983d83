"""A crystal as arrays, for the code that computes with them."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Lattice, PeriodicSite, Structure
from scipy.constants import atomic_mass

DALTON_PER_CUBIC_ANGSTROM = float(atomic_mass) * 1e27
"""In g/cm³."""


@dataclass(frozen=True)
class Cell:
    """A crystal as arrays.

    Attributes
    ----------
    matrix
        ``(3, 3)`` cell vectors as rows, Å.
    numbers
        ``(n,)`` atomic numbers.
    positions
        ``(n, 3)`` fractional coordinates.
    """

    matrix: NDArray[np.float64]
    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]

    @classmethod
    def of(cls, structure: Structure) -> "Cell":
        """The arrays of a structure.

        Raises
        ------
        ValueError
            If the structure is disordered.
        """
        if not structure.is_ordered:
            raise ValueError(f"{structure.formula} is disordered: a site is not one atom")
        numbers = np.array(structure.atomic_numbers, dtype=np.int64)
        return cls(structure.lattice.matrix, numbers, structure.frac_coords)

    def structure(self) -> Structure:
        """The same as a pymatgen structure."""
        lattice, positions = Lattice(self.matrix), self.positions.copy()
        structure = Structure(lattice, [], [])
        # The constructor would make a Composition for each site, which takes most of its time.
        structure.sites = [
            PeriodicSite(_atom(number), place, lattice, skip_checks=True)
            for number, place in zip(self.numbers.tolist(), positions, strict=True)
        ]
        return structure

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def symbols(self) -> set[str]:
        """The elements."""
        return {_element(number).symbol for number in set(self.numbers.tolist())}

    @cached_property
    def composition(self) -> Composition:
        """How many atoms there are of each element."""
        counts = Counter(self.numbers.tolist())
        return Composition({_element(number): count for number, count in counts.items()})

    @property
    def density(self) -> float:
        """Mass density, g/cm³.

        pymatgen's ``Structure.density`` is the same number, and slow, because it computes with
        units.
        """
        mass = math.fsum(map(_mass, self.numbers.tolist()))
        return mass * DALTON_PER_CUBIC_ANGSTROM / volume_of(self.matrix)


def cells_from(structures: Sequence[Structure | None]) -> list[Cell | None]:
    """The arrays of structures, None where there is none."""
    return [None if structure is None else Cell.of(structure) for structure in structures]


def edges_of(matrix: NDArray[np.float64]) -> tuple[float, ...]:
    """Lengths, Å, of the rows of ``matrix`` (3, 3)."""
    return tuple(math.hypot(*row) for row in matrix.tolist())


def heights_of(matrix: NDArray[np.float64]) -> tuple[float, ...]:
    """Distance, Å, of the lattice planes along each row of ``matrix`` (3, 3), which spans a volume.

    A step along a row leads from a plane of the other two rows to the next.
    """
    volume, (a, b, c) = volume_of(matrix), matrix.tolist()
    return tuple(volume / math.hypot(*_cross(*pair)) for pair in ((b, c), (c, a), (a, b)))


def volume_of(matrix: NDArray[np.float64]) -> float:
    """Volume, Å³, of the cell with the rows of ``matrix`` (3, 3); NaN if they are not finite."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = matrix.tolist()
    triple = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    return float(abs(triple))


def _cross(u: list[float], v: list[float]) -> tuple[float, float, float]:
    (ux, uy, uz), (vx, vy, vz) = u, v
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


_element = cache(Element.from_Z)


@cache
def _mass(number: int) -> float:
    """Atomic mass, u."""
    return float(_element(number).atomic_mass)


@cache
def _atom(number: int) -> Composition:
    """One atom of an element; sites may share it, since it cannot be changed."""
    return Composition({_element(number): 1})
