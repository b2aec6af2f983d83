"""A batch of real crystals and broken ones, and a small hull around them."""

from collections.abc import Callable

import pytest
import torch
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.stability.hull import Hull
from crystalformer_rl.stability.reference import Elements, ReferenceHull


@pytest.fixture(scope="session")
def chgnet() -> Potential:
    torch.set_num_threads(1)
    return load("chgnet", device=best_device())


@pytest.fixture(scope="session")
def elements() -> Elements:
    """Element energies near CHGNet's, eV/atom; none of Kr."""
    return Elements(
        "chgnet",
        "mp2020_corrected",
        {"Na": -1.30, "Cl": -1.83, "Mg": -1.53, "O": -4.90, "Si": -5.31, "Cu": -4.08, "Cs": -0.86},
    )


@pytest.fixture(scope="session")
def hull(elements: Elements) -> ReferenceHull:
    hull = Hull(["NaCl", "MgO"], [-2.1, -3.1], elements=elements.energies.keys())
    return ReferenceHull(hull, elements)


@pytest.fixture(scope="session")
def rock_salt() -> Callable[[str, str, float], Cell]:
    """Primitive rock salt of a cation, an anion and a cubic lattice constant, Å."""

    def make(cation: str, anion: str, length: float) -> Cell:
        lattice = Lattice([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
        lattice = Lattice(lattice.matrix * length)
        return Cell.of(Structure(lattice, [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]))

    return make


@pytest.fixture(scope="session")
def batch(rock_salt: Callable[[str, str, float], Cell]) -> list[Cell | None]:
    """Good, strained, undecodable, overlapping, pure, without reference, unknown, collapsed."""
    salt = rock_salt("Na", "Cl", 5.69)
    overlapping = salt.structure()
    overlapping.append("Na", [0.01, 0, 0])
    return [
        salt,
        rock_salt("Na", "Cl", 6.6),
        rock_salt("Mg", "O", 4.25),
        None,
        Cell.of(overlapping),
        Cell.of(Structure(Lattice.cubic(3.3), ["Cs"], [[0, 0, 0]])),
        rock_salt("Kr", "O", 5.0),
        rock_salt("Am", "O", 5.0),
        rock_salt("Na", "Cl", 1.5),
    ]
