"""A crystal is evaluated once, whichever cell its atoms are written in."""

import numpy as np
import pytest
from pymatgen.core import Structure

from crystalformer_rl.crystal.cell import Cell, cells_from
from crystalformer_rl.crystal.digest import cell_digest
from crystalformer_rl.potentials.base import Evaluation, Potential, evaluate_each
from crystalformer_rl.potentials.cached import CachedPotential


def test_nothing_is_evaluated_twice(chgnet: Potential, nacl: Structure, mgo: Structure) -> None:
    cached = CachedPotential(chgnet)
    first = cached.evaluate(cells_from([nacl, mgo, nacl]), forces=False)
    assert (cached.hits, cached.misses) == (1, 2)
    assert first[0].energy == first[2].energy
    plain = chgnet.evaluate(cells_from([nacl]), forces=False)[0]
    assert first[0].energy == pytest.approx(plain.energy, abs=1e-5)
    np.testing.assert_allclose(first[0].features, plain.features, atol=1e-5)
    again = cached.evaluate(cells_from([mgo, nacl]), forces=False)
    assert (cached.hits, cached.misses) == (3, 2)
    assert [e.energy for e in again] == [first[1].energy, first[0].energy]


def test_forces_are_found_when_they_are_wanted(chgnet: Potential, nacl: Structure) -> None:
    cached = CachedPotential(chgnet)
    assert cached.evaluate(cells_from([nacl]), forces=False)[0].forces is None
    assert cached.evaluate(cells_from([nacl]))[0].forces is not None
    assert (cached.hits, cached.misses) == (0, 2)
    alone = cached.evaluate(cells_from([nacl]), forces=False)[0]
    assert (alone.forces, alone.stress) == (None, None)
    assert cached.hits == 1


def test_the_oldest_goes_first(
    chgnet: Potential, nacl: Structure, mgo: Structure, silicon: Structure
) -> None:
    cached = CachedPotential(chgnet, size=2)
    cached.evaluate(cells_from([nacl, mgo]), forces=False)
    cached.evaluate(cells_from([nacl]), forces=False)
    cached.evaluate(cells_from([silicon]), forces=False)
    cached.evaluate(cells_from([nacl]), forces=False)
    assert cached.misses == 3
    cached.evaluate(cells_from([mgo]), forces=False)
    assert cached.misses == 4


def test_it_is_a_potential(chgnet: Potential, nacl: Structure) -> None:
    cached = CachedPotential(chgnet)
    assert (cached.name, cached.version, cached.digest) == (
        chgnet.name, chgnet.version, chgnet.digest,
    )  # fmt: skip
    assert (cached.energy_convention, cached.elements) == (
        chgnet.energy_convention, chgnet.elements,
    )  # fmt: skip
    assert isinstance(evaluate_each(cached, cells_from([nacl, None]))[0], Evaluation)


def digest_of(structure: Structure) -> bytes:
    cell = Cell.of(structure)
    return cell_digest(cell.matrix, cell.numbers, cell.positions)


def test_digest_sees_the_crystal_and_not_how_it_is_written(nacl: Structure) -> None:
    digest = digest_of(nacl)
    moved = nacl.copy().translate_sites([1], [1, -2, 0], to_unit_cell=False)
    assert digest_of(moved) == digest
    edge = nacl.copy().translate_sites([0], [-1e-12, 0, 0], to_unit_cell=False)
    assert digest_of(edge) == digest
    for other in (
        nacl.copy().translate_sites([1], [1e-6, 0, 0]),
        nacl.copy().replace_species({"Cl": "Br"}),
        nacl.copy().apply_strain(1e-5),
        Structure.from_sites(list(reversed(nacl))),
    ):
        assert digest_of(other) != digest
