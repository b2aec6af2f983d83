"""What cannot be a crystal is refused with the reason, before a library sees it."""

import math

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.physical import physical_cell, refuse_unknown_elements
from crystalformer_rl.crystal.symmetry import standardise_moyo
from crystalformer_rl.crystal.tokenizer import Rejection, tokenize

CUBE = 4 * np.eye(3)
SALT = [[0, 0, 0], [0.5, 0.5, 0.5]]


def _structure(matrix: object = CUBE, positions: object = SALT) -> Structure:
    places = np.array(positions, dtype=float).reshape(-1, 3)
    return Structure(Lattice(matrix), ["Cs", "Cl"][: len(places)], places)


def test_a_crystal_passes() -> None:
    physical_cell(_structure())


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        (_structure(positions=[]), "no atoms"),
        (Structure(CUBE, ["Xx", "O"], SALT), r"unknown elements: Xx"),
        (_structure(np.diag([4, 4, math.nan])), "the lattice is not finite"),
        (_structure(np.diag([4, 4, math.inf])), "the lattice is not finite"),
        (_structure(positions=[[0, 0, 0], [0.5, math.nan, 0.5]]), "coordinate of atom 1 .* finite"),
        (_structure(np.diag([4, 4, 0])), "no volume"),
        (_structure([[4, 0, 0], [0, 4, 0], [4, 4, 0]]), "no volume"),
        (_structure(np.diag([4, 4, 0.3])), r"atoms are 0\.300 Å apart"),
        (_structure(positions=[[0, 0, 0], [0, 0, 1]]), r"atoms are 0\.000 Å apart"),
        (_structure(positions=[[0, 0, 0.02], [0, 0, 0.93]]), r"atoms are 0\.360 Å apart"),
        (_structure(np.diag([400, 400, 400])), r"Cs1 Cl1 has 3\.2e\+07 Å³ per atom, .* in pm"),
        (_structure(np.diag([4, 4, 4e9])), "cell edge of 4e\\+09"),
        (_structure(positions=[[0, 0, 0], [0, 0, 1e9]]), r"coordinate of 1e\+09"),
    ],
)
def test_what_cannot_be_a_crystal(structure: Structure, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        physical_cell(structure)


@pytest.mark.parametrize("number", [0, 119, -1, 12.5, math.nan, math.inf])
def test_unknown_elements(number: float) -> None:
    refuse_unknown_elements([1, 118])
    with pytest.raises(ValueError, match=f"atomic numbers {number}: .* from 1 to 118"):
        refuse_unknown_elements([8, number])


def test_a_panic_of_the_library_is_the_fault_of_the_crystal() -> None:
    nothing = Cell(CUBE, np.zeros(0, dtype=np.int64), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="moyo fails: PanicException"):
        standardise_moyo(nothing, symprec=0.01)


def test_tokens_of_what_cannot_be_a_crystal() -> None:
    bad = _structure(positions=[[0, 0, 0], [0.5, math.nan, 0.5]])
    result = tokenize(bad, symprec=0.01, max_sites=5)
    assert isinstance(result, Rejection)
    assert result.reason == "not_physical"
