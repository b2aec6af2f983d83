"""The reward for small forces and stresses, against CHGNet's own calculator."""

import numpy as np
import pytest
from chgnet.model import CHGNetCalculator
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalformer_rl.config import ForceReward
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.rewards.force import Force

Batch = list[Cell | None]


@pytest.fixture
def moved(batch: Batch) -> Structure:
    """Rock salt with an atom out of its place."""
    assert batch[0] is not None
    structure = batch[0].structure()
    structure.translate_sites([1], [0.03, 0.01, 0])
    return structure


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_it_is_that_of_crystalformer(chgnet: Potential, moved: Structure, weight: float) -> None:
    atoms = AseAtomsAdaptor.get_atoms(moved, calculator=CHGNetCalculator(use_device="cpu"))
    forces = np.clip(np.linalg.norm(atoms.get_forces(), axis=-1), 1e-2, 1e2)
    stresses = np.clip(np.abs(atoms.get_stress()), 1e-2, 1e2)
    expected = -np.log(np.mean(forces) + weight * np.mean(stresses))
    found = Force(ForceReward(stress_weight=weight), chgnet).score([Cell.of(moved)])
    assert found.value[0] == pytest.approx(expected, abs=1e-4)
    assert found.components["force"][0] == pytest.approx(np.mean(forces), rel=1e-3)
    assert found.components["stress"][0] == pytest.approx(
        np.mean(np.abs(atoms.get_stress())), rel=1e-3
    )


def test_forces_that_symmetry_forbids_count_as_the_floor(chgnet: Potential, batch: Batch) -> None:
    found = Force(ForceReward(stress_weight=0), chgnet).score(batch[:3])
    np.testing.assert_allclose(found.value, -np.log(0.01))
    assert (found.components["force"] < 1e-3).all()


def test_a_failure_is_worth_the_ceiling(chgnet: Potential, batch: Batch) -> None:
    found = Force(ForceReward(), chgnet).score(batch)
    # Undecodable, overlapping, of an element that CHGNet does not know, collapsed.
    assert found.valid.tolist() == [True] * 3 + [False, False, True, True, False, False]
    np.testing.assert_allclose(found.value[[3, 4, 7, 8]], -np.log(200))
    assert not found.abstain.any()
    assert Force(ForceReward(), chgnet).score([]).value.shape == (0,)


def test_a_floor_above_the_ceiling_is_refused() -> None:
    with pytest.raises(ValueError, match=r"floor 2 must be below ceiling 1"):
        ForceReward(floor=2, ceiling=1)
