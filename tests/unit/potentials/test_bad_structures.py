"""One bad structure never harms another: what goes wrong, when, and what is left of it."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from helpers.analytic import LIMITS, Analytic, argon, lennard_jones, same
from pymatgen.core import Lattice, Structure

from crystalformer_rl.crystal.cell import cells_from
from crystalformer_rl.potentials.base import Evaluation, Potential
from crystalformer_rl.potentials.relax import Relaxation, relax

# Whatever has two atoms is bad.
GOOD = [argon(1, seed=5), argon(3, seed=6), argon(4, seed=7)]
PAIR = Structure(Lattice.orthorhombic(3, 4, 5), ["Ar", "Ar"], [[0, 0, 0], [0, 0.5, 0.3]])
VOLUME = PAIR.volume


def still(structure: Structure, *, energy: float = 0.0, pressure: float = 0.0) -> Evaluation:
    """Atoms without forces in a cell under ``pressure``, eV/Å³."""
    return Evaluation(
        energy=energy, forces=np.zeros((len(structure), 3)), stress=-pressure * np.eye(3)
    )


def explodes(structure: Structure) -> Evaluation:
    return still(structure, energy=-0.04 * structure.volume, pressure=0.04)


def collapses(structure: Structure) -> Evaluation:
    return still(structure, energy=0.1 * structure.volume, pressure=-0.1)


def meets(structure: Structure) -> Evaluation:
    """Two atoms on a spring of no length."""
    bond = structure.cart_coords[1] - structure.cart_coords[0]
    return Evaluation(
        energy=bond @ bond / 2, forces=np.array([bond, -bond]), stress=np.zeros((3, 3))
    )


def no_number(structure: Structure) -> Evaluation:
    return still(structure, energy=math.nan)


def too_deep(structure: Structure) -> Evaluation:
    return still(structure, energy=-41.0)


def no_force(structure: Structure) -> Evaluation:
    forces = np.full((len(structure), 3), np.inf)
    return Evaluation(energy=0.0, forces=forces, stress=np.zeros((3, 3)))


def raises(_: Structure) -> Evaluation:
    raise RuntimeError("shapes do not match\nand a long story")


def too_large(_: Structure) -> Evaluation:
    raise MemoryError


def on_the_way(formula: Callable[[Structure], Evaluation]) -> Callable[[Structure], Evaluation]:
    """``formula``, once the crystal has grown by a tenth."""
    return lambda s: formula(s) if s.volume > 1.1 * VOLUME else explodes(s)


def among_good_ones(
    bad: Structure | None, formula: Callable[[Structure], Evaluation] = lennard_jones
) -> Relaxation:
    """The record of ``bad``, relaxed in the midst of crystals that must not notice."""
    potential = Analytic(lambda s: (formula if len(s) == 2 else lennard_jones)(s))
    records = relax(potential, cells_from([*GOOD[:2], bad, *GOOD[2:]]), **LIMITS)
    record = records.pop(2)
    for found, expected in zip(records, relax(Analytic(), cells_from(GOOD), **LIMITS), strict=True):
        assert found.status == "converged"
        assert same(found, expected)
    return record


@pytest.mark.parametrize(
    ("formula", "status", "reason"),
    [
        (no_number, "error", "not finite"),
        (no_force, "error", "not finite"),
        (too_deep, "unphysical", r"-20.5 eV/atom, deeper than any solid: allowed are -20"),
        (raises, "error", "^RuntimeError: shapes do not match$"),
        (too_large, "out_of_memory", "MemoryError"),
    ],
)
def test_bad_from_the_start(
    formula: Callable[[Structure], Evaluation], status: str, reason: str
) -> None:
    record = among_good_ones(PAIR, formula)
    assert record.status == status
    assert re.search(reason, record.error)
    assert record.cell is record.energy_initial is record.energy_final is None
    assert record.steps == 0


@pytest.mark.parametrize(
    ("formula", "status", "reason"),
    [
        (explodes, "diverged", r"Å³ per atom, allowed"),
        (collapses, "diverged", r"Å³ per atom, allowed|apart, allowed"),
        (meets, "diverged", r"apart, allowed"),
        (on_the_way(no_number), "diverged", "not finite"),
        (on_the_way(no_force), "diverged", "not finite"),
        (on_the_way(too_deep), "diverged", "deeper than any solid"),
        (on_the_way(raises), "diverged", "shapes do not match"),
        (on_the_way(too_large), "out_of_memory", "MemoryError"),
    ],
)
def test_bad_on_the_way_leaves_the_last_good_geometry(
    formula: Callable[[Structure], Evaluation], status: str, reason: str
) -> None:
    record = among_good_ones(PAIR, formula)
    assert record.status == status
    assert re.search(reason, record.error)
    assert record.steps > 0
    last = formula(record.cell.structure())
    assert record.energy_final == last.energy / 2
    assert record.max_force == pytest.approx(np.linalg.norm(last.forces, axis=1).max())
    assert record.max_stress == np.abs(last.stress).max()
    assert record.energy_initial == formula(PAIR).energy / 2


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (None, "unphysical"),
        (Structure(Lattice.cubic(4), ["Ar", "Ar"], [[0, 0, 0], [0.05, 0, 0]]), "unphysical"),
        (Structure(Lattice.cubic(1.2), ["Ar", "Ar"], [[0, 0, 0], [0.5, 0.5, 0.5]]), "unphysical"),
        (Structure(Lattice.cubic(40), ["Ar", "Ar"], [[0, 0, 0], [0.5, 0.5, 0.5]]), "unphysical"),
        (Structure(Lattice(np.zeros((3, 3))), ["Ar", "Ar"], np.eye(3)[:2]), "unphysical"),
        (Structure(Lattice.cubic(4), ["Ar", "Ar"], [[0, 0, 0], [math.nan, 0, 0]]), "unphysical"),
        (Structure(Lattice.cubic(4), [], []), "unphysical"),
        (Structure(Lattice.cubic(4), ["Ar", "Cf"], [[0, 0, 0], [0, 0, 0.5]]), "unknown_element"),
    ],
)
def test_screened_before(bad: Structure | None, status: str) -> None:
    record = among_good_ones(bad)
    assert (record.status, record.steps, record.cell) == (status, 0, None)
    assert record.error


def test_an_atom_alone_is_more_than_chgnet_can_take(chgnet: Potential, nacl: Structure) -> None:
    lonely = Structure(Lattice.cubic(6.5), ["Na"], [[0, 0, 0]])
    records = relax(chgnet, cells_from([lonely, nacl]), max_force=0.1, max_steps=5)
    assert records[0].status == "error"
    assert records[0].error.startswith("ValueError: ")
    assert records[1].status == "converged"
