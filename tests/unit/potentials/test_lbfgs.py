"""Our L-BFGS against ASE's, and its departures from it, on potentials of ASE."""

import numpy as np
import pytest
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS
from helpers.deformed import forces_and_stresses, place, rattled, start

from crystalformer_rl.potentials import lbfgs
from crystalformer_rl.potentials.lbfgs import Lbfgs


def step(state: Lbfgs, crystals: list[Atoms]) -> Lbfgs:
    moved = state.moved(state.coordinates.forces(*forces_and_stresses(crystals)))
    place(crystals, moved.coordinates)
    return moved


@pytest.mark.parametrize("kind", ["emt", "lj"])
def test_equals_ase_step_by_step(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = rattled(kind), rattled(kind)
    # ASE has one stiffness and one limit for the rows of the atoms and of the cell.
    monkeypatch.setattr(lbfgs, "STIFFNESS_OF_ATOMS", 70.0)
    monkeypatch.setattr(lbfgs, "STIFFNESS_OF_CELL", 70.0 * len(ours))
    monkeypatch.setattr(lbfgs, "LARGEST_STRAIN", 0.2 / len(ours))
    optimiser = LBFGS(FrechetCellFilter(theirs), logfile=None, memory=lbfgs.MEMORY)
    state = Lbfgs.at_rest(start([ours]))
    for _ in range(25):
        optimiser.step()
        state = step(state, [ours])
        np.testing.assert_allclose(ours.cell.array, theirs.cell.array, atol=1e-7)
        np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-7)


def test_many_at_once_are_those_of_one_at_a_time() -> None:
    """Crystals join and leave, and none of their numbers depends on the others by a single bit."""
    ours = [rattled("lj"), rattled("emt"), rattled("lj"), rattled("emt")]
    others = [rattled("lj"), rattled("emt"), rattled("lj"), rattled("emt")]
    alone = [Lbfgs.at_rest(start([one])) for one in others]
    here = [0, 1, 2]
    state = Lbfgs.at_rest(start([ours[k] for k in here]))
    for number in range(24):
        if number == 5:
            state = state.joined(Lbfgs.at_rest(start([ours[3]])))
            here = [0, 1, 2, 3]
        if number == 14:
            state = state.only(np.array([True, False, True, True]))
            here = [0, 2, 3]
        state = step(state, [ours[k] for k in here])
        for k in here:
            alone[k] = step(alone[k], [others[k]])
        cells, places = state.coordinates.cells, state.coordinates.fractional
        assert np.array_equal(cells, np.concatenate([alone[k].coordinates.cells for k in here]))
        assert np.array_equal(
            places, np.concatenate([alone[k].coordinates.fractional for k in here])
        )


def test_steps_are_limited() -> None:
    crystals = [rattled("emt"), rattled("lj")]
    state = Lbfgs.at_rest(start(crystals))
    coordinates = state.coordinates
    rng = np.random.default_rng(0)
    # A potential computes in single precision, whose largest number is 3e38.
    huge = 1e38 * rng.normal(size=(len(coordinates.is_atom), 3))
    after = state.moved(huge).coordinates
    atoms = np.linalg.norm(after.natural - coordinates.natural, axis=1)
    strains = np.linalg.norm(after.log, axis=2)
    ends = np.split(atoms, np.cumsum(coordinates.counts)[:-1])
    for displacement, strain in zip(ends, strains, strict=True):
        ratios = displacement.max() / lbfgs.LONGEST_STEP, strain.max() / lbfgs.LARGEST_STRAIN
        assert max(ratios) == pytest.approx(1)


def test_never_uphill() -> None:
    """Where forces change as no minimum would change them, the step is along the forces."""
    state = Lbfgs.at_rest(start([rattled("lj")]))
    rng = np.random.default_rng(0)
    for _ in range(40):
        forces = rng.normal(size=state.last_forces.shape)
        state = state.moved(forces)
        assert (state.coordinates.dot(state.last_step, forces) > 0).all()
