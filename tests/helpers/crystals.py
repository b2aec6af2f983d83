"""Crystals that many tests use."""

from pymatgen.core import Lattice, Structure


def rock_salt(first: str = "Na", second: str = "Cl", length: float = 5.64) -> Structure:
    """The conventional cell of rock salt; ``length`` in Å."""
    return _corner_and_centre("Fm-3m", first, second, length)


def cubic_crystal(group: str, first: str, second: str, length: float = 4.0) -> Structure:
    """The primitive cell of a cubic crystal with its elements at the corner and in the centre.

    ``Fm-3m`` is rock salt, ``Pm-3m`` caesium chloride; ``length`` of the conventional cell in Å.
    """
    return _corner_and_centre(group, first, second, length).get_primitive_structure()


def _corner_and_centre(group: str, first: str, second: str, length: float) -> Structure:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup(group, Lattice.cubic(length), [first, second], sites)
