"""Lattices: which parameters are free, and the way to the matrix and back."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.crystal import lattice as cells

PUBLISHED = Path(__file__).parents[2] / "fixtures" / "tables.npz"
LATTICES = st.tuples(
    *[st.floats(1.0, 30.0)] * 3, *[st.floats(np.radians(65), np.radians(115))] * 3
).map(np.array)


def test_free_parameters_equal_the_published_ones() -> None:
    with np.load(PUBLISHED) as tables:
        assert np.array_equal(cells.free_parameters()[1:], tables["lattice_mask"].astype(bool))


@given(LATTICES, st.integers(1, 230))
def test_constrain_keeps_what_is_free_and_nothing_else_matters(
    lattice: np.ndarray, group: int
) -> None:
    constrained = cells.constrain(group, lattice)
    free = cells.free_parameters()[group]
    assert np.array_equal(constrained[free], lattice[free])
    assert np.array_equal(cells.constrain(group, constrained), constrained)
    assert np.array_equal(cells.constrain(group, np.where(free, lattice, 7.0)), constrained)


@given(LATTICES)
def test_matrix_and_parameters_are_inverse(lattice: np.ndarray) -> None:
    matrix = cells.matrix(lattice)
    assert np.allclose(cells.parameters(matrix), lattice, atol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(float(cells.volume(lattice)), rel=1e-9)


def test_batches_and_exact_right_angles() -> None:
    lattice = cells.constrain([225, 166, 14], np.tile([4.0, 5, 6, 1.4, 1.5, 1.6], (3, 1)))
    matrices = cells.matrix(lattice)
    assert matrices.shape == (3, 3, 3)
    assert np.array_equal(matrices[0], np.diag([4.0, 4.0, 4.0]))
    assert lattice[1, 5] == pytest.approx(np.radians(120))
    assert lattice[2].tolist() == [4.0, 5.0, 6.0, np.pi / 2, 1.5, np.pi / 2]


def test_angles_that_close_no_cell_give_nan() -> None:
    impossible = np.array([1.0, 1, 1, *np.radians([30.0, 30, 120])])
    assert np.isnan(cells.volume(impossible))
    assert np.isnan(cells.matrix(impossible)).any()


def test_a_space_group_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"1 to 230, got \[0\]"):
        cells.constrain([1, 0], np.ones((2, 6)))
