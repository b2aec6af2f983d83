import pytest
import torch
from pymatgen.core import Lattice, Structure

from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.registry import load


@pytest.fixture(scope="session")
def chgnet() -> Potential:
    torch.set_num_threads(1)
    return load("chgnet")


def rocksalt(first: str, second: str, length: float) -> Structure:
    """Primitive rock salt; ``length`` of the cubic cell in Å."""
    cube = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(length), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    return cube.get_primitive_structure()


@pytest.fixture
def nacl() -> Structure:
    return rocksalt("Na", "Cl", 5.69)


@pytest.fixture
def mgo() -> Structure:
    return rocksalt("Mg", "O", 4.26)


@pytest.fixture
def silicon() -> Structure:
    return Structure.from_spacegroup(
        "Fd-3m", Lattice.cubic(5.47), ["Si"], [[0, 0, 0]]
    ).get_primitive_structure()
