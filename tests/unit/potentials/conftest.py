import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.registry import load


@pytest.fixture(scope="session")
def chgnet() -> Potential:
    torch.set_num_threads(1)
    return load("chgnet", device=best_device())


def rocksalt(first: str, second: str, length: float) -> Structure:
    """Primitive rock salt; ``length`` of the cubic cell in Å."""
    return Structure(face_centred(length), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]])


def face_centred(length: float) -> Lattice:
    return Lattice(length / 2 * (1 - np.eye(3)))


@pytest.fixture
def nacl() -> Structure:
    return rocksalt("Na", "Cl", 5.69)


@pytest.fixture
def mgo() -> Structure:
    return rocksalt("Mg", "O", 4.26)


@pytest.fixture
def silicon() -> Structure:
    return Structure(face_centred(5.47), ["Si", "Si"], [[0, 0, 0], [0.25, 0.25, 0.25]])
