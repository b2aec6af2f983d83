"""Whether what was read can be a crystal: finite, with atoms, a volume and room for each atom."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import DummySpecies, Structure

from crystalformer_rl.crystal.cell import Cell, edges_of, volume_of
from crystalformer_rl.crystal.distances import MIN_DISTANCE_ANGSTROM, closer_than, is_flat

# Far outside what a crystal needs, and far inside what the libraries can compute with.
MAX_LENGTH = 1000.0
MAX_COORDINATE = 1000.0
# Å³: hundreds of times that of a molecule in a box, a hundredth of that of a crystal in pm.
MAX_VOLUME_PER_ATOM = 1e5
MAX_ELEMENT = 118


class PartlyOccupiedError(ValueError):
    """A site that is not occupied by one whole atom."""

    reason: Final = "disordered"


class UnphysicalError(ValueError):
    """The data that were read cannot be a crystal."""

    reason: Final = "not_physical"


def refuse_unphysical(cell: Cell, *, min_distance: float = MIN_DISTANCE_ANGSTROM) -> None:
    """Raise if ``cell`` cannot be a crystal. Every crystal that is read is checked so.

    The libraries that find symmetry, and the potentials, crash on some of what is refused here.

    Parameters
    ----------
    min_distance
        Atoms may not be closer than this, Å; 0 to allow any distance.

    Raises
    ------
    UnphysicalError
        If it has no atoms, a number that is not finite, a cell without volume or with far too
        much, or atoms too close; the message says which.
    """
    matrix, positions = cell.matrix, cell.positions
    if not len(positions):
        raise UnphysicalError("the crystal has no atoms")
    if not np.isfinite(matrix).all():
        raise UnphysicalError("a number of the lattice is not finite")
    finite = np.isfinite(positions)
    if not finite.all():
        place = int(np.flatnonzero(~finite.all(axis=1))[0])
        raise UnphysicalError(f"a coordinate of atom {place} (counted from 0) is not finite")
    longest = max(edges_of(matrix))
    if longest > MAX_LENGTH:
        raise UnphysicalError(f"a cell edge of {longest:.4g} Å: at most {MAX_LENGTH:g} Å")
    largest = float(np.abs(positions).max())
    if largest > MAX_COORDINATE:
        raise UnphysicalError(
            f"a fractional coordinate of {largest:.4g}: must be within ±{MAX_COORDINATE:g}"
        )
    if is_flat(matrix):
        raise UnphysicalError("the cell has no volume")
    volume = volume_of(matrix)
    if volume > MAX_VOLUME_PER_ATOM * len(positions):
        raise UnphysicalError(
            f"{cell.composition.formula} has {volume / len(positions):.3g} Å³ per atom, at most "
            f"{MAX_VOLUME_PER_ATOM:g}: is the cell in pm?"
        )
    found = closer_than(min_distance, cell) if min_distance else None
    if found is not None:
        raise UnphysicalError(
            f"{cell.composition.formula}: atoms are {found:.3f} Å apart, at least "
            f"{min_distance:g} Å is needed"
        )


def physical_cell(structure: Structure) -> Cell:
    """The arrays of an ordered structure, if it can be a crystal.

    Raises
    ------
    UnphysicalError
        If it has an unknown element, or for the reasons of :func:`refuse_unphysical`.
    """
    unknown = [str(kind) for kind in structure.types_of_species if isinstance(kind, DummySpecies)]
    if unknown:
        raise UnphysicalError(f"unknown elements: {', '.join(sorted(unknown))}")
    cell = Cell.of(structure)
    refuse_unphysical(cell)
    return cell


def refuse_unknown_elements(numbers: ArrayLike) -> None:
    """Raise ``ValueError`` unless all are atomic numbers, integers from 1 to ``MAX_ELEMENT``."""
    values = np.asarray(numbers, dtype=float)
    good = (values >= 1) & (values <= MAX_ELEMENT) & (values == np.round(values))
    if not good.all():
        wrong = sorted({f"{value:g}" for value in values[~good]})
        raise ValueError(
            f"atomic numbers {', '.join(wrong)}: each must be an integer from 1 to {MAX_ELEMENT}"
        )
