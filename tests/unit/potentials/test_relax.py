"""Batched relaxation: the minimum, the records, and nobody's neighbour matters."""

from typing import get_args

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from helpers.analytic import LIMITS, Analytic, argon, lennard_jones, same
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import Cell, cells_from, volume_of
from crystalformer_rl.potentials.base import Evaluation, Potential
from crystalformer_rl.potentials.batching import ase_atoms
from crystalformer_rl.potentials.relax import STATUSES, WITH_ENERGY, Status, relax


def test_every_status_has_a_meaning() -> None:
    assert set(get_args(Status)) == set(STATUSES)
    assert set(WITH_ENERGY) < set(STATUSES)


def test_argon_is_ases() -> None:
    structure = argon(3, seed=1)
    atoms = ase_atoms(Cell.of(structure))
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=9.0)
    ours = lennard_jones(structure)
    assert ours.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    np.testing.assert_allclose(ours.forces, atoms.get_forces(), atol=1e-10)
    np.testing.assert_allclose(ours.stress, atoms.get_stress(voigt=False), atol=1e-10)


@pytest.mark.gpu
def test_strained_crystals_come_back(chgnet: Potential, nacl: Structure, mgo: Structure) -> None:
    strained = [nacl.copy().apply_strain(0.04), mgo.copy().apply_strain(-0.03)]
    records = relax(chgnet, cells_from(strained), max_force=0.02, max_steps=100)
    for record, ideal in zip(records, (nacl, mgo), strict=True):
        assert record.status == "converged"
        assert record.error is None
        assert record.energy_final < record.energy_initial
        assert record.max_force < 0.02
        # CHGNet's own minimum lies within 2 % of the length the crystal was built with.
        found = record.cell.structure().lattice
        assert found.a == pytest.approx(ideal.lattice.a, rel=0.02)


def test_company_does_not_matter(chgnet: Potential, nacl: Structure, silicon: Structure) -> None:
    bent = nacl.copy().apply_strain(0.03)
    overlap = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.05, 0, 0]])
    crystals = [overlap, bent, None, silicon.copy().apply_strain(-0.02)]
    together = relax(chgnet, cells_from(crystals), max_force=0.05, max_steps=60)
    alone = relax(chgnet, cells_from([bent]), max_force=0.05, max_steps=60)[0]
    one_by_one = relax(chgnet, cells_from(crystals), max_force=0.05, max_steps=60, atoms_at_once=1)
    assert [r.status for r in together] == ["unphysical", "converged", "unphysical", "converged"]
    assert together[1].steps == alone.steps
    assert together[1].energy_final == pytest.approx(alone.energy_final, abs=1e-5)
    assert same(one_by_one[1], alone)


crystals = st.builds(argon, st.integers(1, 4), seed=st.integers(0, 9))


@settings(max_examples=15)
@given(st.lists(st.none() | crystals, max_size=6), st.integers(1, 12))
@pytest.mark.gpu
def test_batches_are_full_and_change_nothing(
    structures: list[Structure | None], atoms_at_once: int
) -> None:
    potential, finished, sweeps = Analytic(), [], []
    records = relax(
        potential,
        cells_from(structures),
        **LIMITS,
        atoms_at_once=atoms_at_once,
        on_done=lambda index, _: finished.append(index),
        on_sweep=lambda: sweeps.append(len(finished)),
    )
    for structure, record in zip(structures, records, strict=True):
        assert same(record, relax(Analytic(), cells_from([structure]), **LIMITS)[0])
    assert sorted(finished) == list(range(len(structures)))
    # Nothing is evaluated twice: each crystal as often as it moved, and at its start.
    real = [r for s, r in zip(structures, records, strict=True) if s is not None]
    assert sum(map(len, potential.calls)) == sum(record.steps + 1 for record in real)
    assert len(sweeps) == len(potential.calls)
    sizes = [len(structure) for structure in structures if structure is not None]
    for call in potential.calls:
        assert len(call) == 1 or sum(call) <= atoms_at_once
    entered = len(potential.calls[0]) if potential.calls else 0
    assert entered == len(sizes) or sum(sizes[: entered + 1]) > atoms_at_once


def test_the_next_enters_as_soon_as_there_is_room() -> None:
    first = cells_from([argon(1, seed=0)])
    at_rest = relax(Analytic(), first, max_force=1e-4, max_steps=200)[0].cell
    potential = Analytic()
    cells = [at_rest, *cells_from([argon(4, seed=1), argon(4, seed=2)]), at_rest]
    records = relax(potential, cells, max_force=0.002, max_steps=60, atoms_at_once=5)
    assert [record.status for record in records] == ["converged"] * 4
    assert [record.steps for record in records][::3] == [0, 0]
    # The first leaves a place for one atom, the third needs four, and nobody overtakes it.
    assert potential.calls[:3] == [[1, 4], [4], [4]]
    assert potential.calls[records[1].steps + 1] == [4, 1]


@pytest.mark.parametrize("which", ["forces", "stress"])
def test_forces_and_stress_count(which: str) -> None:
    """A crystal whose atoms rest under stress, and one of no stress whose atoms do not."""
    forces = np.array([[0.5, 0, 0], [-0.5, 0, 0]]) * (which == "forces")
    stress = 0.02 * np.eye(3) * (which == "stress")
    potential = Analytic(lambda _: Evaluation(energy=0.0, forces=forces, stress=stress))
    salt = Structure(Lattice.cubic(3.0), ["Ar", "Ar"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    # The force on the cell is the stress times the 13.5 Å³ per atom, 0.27 eV.
    limit = 0.27 if which == "stress" else 0.5
    statuses = [
        relax(potential, cells_from([salt]), max_force=limit * factor, max_steps=0)[0].status
        for factor in (1.01, 0.99)
    ]
    assert statuses == ["converged", "not_converged"]


def test_out_of_steps_keeps_the_last_geometry(chgnet: Potential, mgo: Structure) -> None:
    strained = mgo.copy().apply_strain(0.06)
    record = relax(chgnet, cells_from([strained]), max_force=1e-4, max_steps=3)[0]
    assert (record.status, record.steps) == ("not_converged", 3)
    assert volume_of(record.cell.matrix) != pytest.approx(strained.volume)


@pytest.mark.gpu
def test_no_steps_is_a_single_point(chgnet: Potential, mgo: Structure) -> None:
    strained = mgo.copy().apply_strain(0.06)
    record = relax(chgnet, cells_from([strained]), max_force=1e-4, max_steps=0)[0]
    assert record.energy_initial == record.energy_final
    np.testing.assert_allclose(record.cell.positions, strained.frac_coords, atol=1e-12)
    np.testing.assert_array_equal(record.cell.matrix, strained.lattice.matrix)
