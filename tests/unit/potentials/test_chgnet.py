"""CHGNet: self-test, comparison with its package, and independence of the batch."""

import numpy as np
import pytest
from helpers.laws import check_the_host_waits_only_to_read
from helpers.pretend_gpu import Gpu
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import cells_from
from crystalformer_rl.potentials.base import Potential


def test_known_energies(
    chgnet: Potential, nacl: Structure, mgo: Structure, silicon: Structure
) -> None:
    energies = [
        e.energy / 2 for e in chgnet.evaluate(cells_from([nacl, mgo, silicon]), forces=False)
    ]
    assert energies == pytest.approx([-3.67, -6.31, -5.31], abs=0.02)


def test_equals_the_package(chgnet: Potential, nacl: Structure) -> None:
    distorted = nacl.copy().apply_strain(0.02)
    distorted.translate_sites([0], [0.03, 0.01, 0.0])
    ours = chgnet.evaluate(cells_from([distorted]))[0]
    theirs = chgnet._model.predict_structure(distorted, return_crystal_feas=True)
    assert ours.energy == pytest.approx(2 * float(theirs["e"]), abs=1e-5)
    np.testing.assert_allclose(ours.forces, theirs["f"], atol=1e-5)
    np.testing.assert_allclose(ours.stress, theirs["s"] / 160.21766208, atol=1e-6)
    np.testing.assert_allclose(ours.features, theirs["crystal_fea"] / 2, atol=1e-5)


def test_batch_does_not_matter(
    chgnet: Potential, nacl: Structure, mgo: Structure, silicon: Structure
) -> None:
    crystals = [nacl, mgo.copy().apply_strain(0.03), silicon]
    together = chgnet.evaluate(cells_from(crystals))
    backwards = chgnet.evaluate(cells_from(crystals[::-1]))[::-1]
    for structure, one, other in zip(crystals, together, backwards, strict=True):
        alone = chgnet.evaluate(cells_from([structure]))[0]
        assert one.energy == pytest.approx(alone.energy, abs=1e-5)
        assert other.energy == pytest.approx(alone.energy, abs=1e-5)
        np.testing.assert_allclose(one.forces, alone.forces, atol=1e-5)
        np.testing.assert_allclose(other.stress, alone.stress, atol=1e-5)


def test_energy_alone_is_the_same(chgnet: Potential, mgo: Structure) -> None:
    with_forces = chgnet.evaluate(cells_from([mgo]))[0]
    alone = chgnet.evaluate(cells_from([mgo]), forces=False)[0]
    assert alone.energy == pytest.approx(with_forces.energy, abs=1e-6)
    assert alone.forces is None
    assert alone.stress is None


def test_isolated_atom_is_refused(chgnet: Potential) -> None:
    lonely = Structure(Lattice.cubic(7.0), ["Na"], [[0, 0, 0]])
    with pytest.raises(ValueError, match="isolated"):
        chgnet.evaluate(cells_from([lonely]))


@pytest.mark.gpu
def test_the_host_waits_only_to_read(chgnet: Potential, pretend_gpu: Gpu) -> None:
    check_the_host_waits_only_to_read(chgnet, pretend_gpu, copies=4)
