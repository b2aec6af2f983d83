"""Batched relaxation ends where ASE's FIRE and FrechetCellFilter end, one crystal at a time."""

import pytest
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from chgnet.model.dynamics import CHGNetCalculator
from helpers.laws import rattled_crystals

from crystalformer_rl.crystal.cell import Cell, cells_from, volume_of
from crystalformer_rl.potentials.base import Potential
from crystalformer_rl.potentials.batching import ase_atoms
from crystalformer_rl.potentials.relax import Relaxation, relax

pytestmark = pytest.mark.slow

MAX_FORCE, MAX_STEPS = 0.02, 150


@pytest.fixture(scope="module")
def records(chgnet: Potential) -> list[Relaxation]:
    return relax(chgnet, cells_from(rattled_crystals()), max_force=MAX_FORCE, max_steps=MAX_STEPS)


@pytest.mark.parametrize("which", range(4))
def test_same_end(records: list[Relaxation], which: int) -> None:
    structure, ours = rattled_crystals()[which], records[which]
    atoms = ase_atoms(Cell.of(structure))
    atoms.calc = CHGNetCalculator(use_device="cpu")
    optimiser = FIRE(FrechetCellFilter(atoms), logfile=None)
    converged = optimiser.run(fmax=MAX_FORCE, steps=MAX_STEPS)
    assert converged == (ours.status == "converged")
    assert ours.energy_final == pytest.approx(
        float(atoms.get_potential_energy()) / len(atoms), abs=0.002
    )
    assert ours.steps < optimiser.nsteps
    assert ours.cell is not None
    assert volume_of(ours.cell.matrix) == pytest.approx(atoms.get_volume(), rel=0.02)
