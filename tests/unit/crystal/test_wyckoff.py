"""The tables equal the published ones, and orbits are those of the groups."""

from pathlib import Path

import moyopy
import numpy as np
import pytest
from numpy.typing import NDArray

from crystalformer_rl.crystal import lattice as cells
from crystalformer_rl.crystal import wyckoff

GROUPS = range(1, 231)
PUBLISHED = Path(__file__).parents[2] / "fixtures" / "tables.npz"


@pytest.fixture(scope="module")
def published() -> dict[str, NDArray[np.float64]]:
    with np.load(PUBLISHED) as tables:
        return dict(tables)


def test_tables_equal_the_published_ones(published: dict[str, NDArray[np.float64]]) -> None:
    assert np.array_equal(wyckoff.multiplicities()[1:], published["mult"])
    assert np.array_equal(wyckoff.max_letter()[1:], published["wmax"])
    assert np.array_equal(wyckoff.has_freedom()[1:], ~published["dof0"].astype(bool))
    assert np.array_equal(wyckoff.free_coordinates()[1:], published["fc_mask"].astype(bool))
    assert np.allclose(wyckoff.first_operations()[1:], published["first_op"], atol=1e-12)


def test_setting_is_the_one_moyo_calls_standard() -> None:
    for group in GROUPS:
        ours = wyckoff.operations(group)
        theirs = moyopy.operations_from_number(group, setting=moyopy.Setting.standard())
        assert _as_set(ours[:, :, :3], ours[:, :, 3]) == _as_set(
            np.array(theirs.rotations), np.array(theirs.translations)
        ), group


def test_orbits_have_the_multiplicity_and_are_closed_under_the_group() -> None:
    rng = np.random.default_rng(0)
    for group in GROUPS:
        maps = wyckoff.operations(group)
        for position in wyckoff.positions(group):
            xyz = rng.random(3)
            orbit = wyckoff.orbit(group, position.index, xyz)
            assert len(orbit) == position.multiplicity == len(_unique(orbit)), (group, position)
            first = wyckoff.project(group, position.index, xyz)
            assert np.allclose(_offset(orbit[0], first), 0, atol=1e-12)
            images = maps[:, :, :3] @ first + maps[:, :, 3]
            assert _unique(images) == _unique(orbit), (group, position)


def test_primitive_images_are_one_atom_per_centring() -> None:
    for group in GROUPS:
        centrings = round(1 / np.linalg.det(wyckoff.primitive_basis(group)))
        for position in wyckoff.positions(group):
            images = wyckoff.primitive_images(group, position.index)
            assert len(images) * centrings == position.multiplicity


def test_projection_is_idempotent_and_keeps_free_coordinates_in_order() -> None:
    xyz = np.array([0.13, 0.29, 0.41])
    for group in GROUPS:
        for position in wyckoff.positions(group):
            once = wyckoff.project(group, position.index, xyz)
            assert np.allclose(_offset(wyckoff.project(group, position.index, once), once), 0)
    assert wyckoff.project(166, 8, xyz) == pytest.approx([0.13, 0.87, 0.41])
    assert wyckoff.project(225, 6, [[0.2, 0.5, 0.9]]) == pytest.approx(np.full((1, 3), 0.2))


@pytest.mark.parametrize("group", [1, 2, 5, 15, 43, 70, 88, 122, 146, 161, 167, 194, 205, 220, 230])
def test_a_generic_crystal_has_exactly_the_group(group: int) -> None:
    rng = np.random.default_rng(group)
    orbits = [wyckoff.orbit(group, len(wyckoff.positions(group)), rng.random(3)) for _ in "ab"]
    lattice = cells.constrain(group, [7.1, 8.3, 9.7, *np.radians([80.0, 97.0, 105.0])])
    cell = moyopy.Cell(
        cells.matrix(lattice).tolist(),
        np.concatenate(orbits).tolist(),
        [1] * len(orbits[0]) + [2] * len(orbits[1]),
    )
    assert moyopy.MoyoDataset(cell, symprec=1e-4).number == group


def test_letters_and_groups_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"space group 231: must be 1 to 230"):
        wyckoff.hall_number(231)
    with pytest.raises(ValueError, match=r"letter 10 in space group 2: must be 1 \('a'\) to 9"):
        wyckoff.orbit(2, 10, [0, 0, 0])
    with pytest.raises(ValueError, match="letter 0"):
        wyckoff.project(2, 0, [0, 0, 0])


def test_the_27th_letter() -> None:
    last = wyckoff.positions(47)[-1]
    assert (last.letter, last.index, last.multiplicity) == ("A", 27, 8)


def test_wrap_never_returns_one() -> None:
    assert wyckoff.wrap(np.array([-1e-20, 1.0, -0.25, 3.5])).tolist() == [0.0, 0.0, 0.75, 0.5]


def _offset(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(a - b - np.round(a - b))


def _unique(points: NDArray[np.float64]) -> set[tuple[int, ...]]:
    return {tuple(point) for point in (np.round(points * 1e9).astype(int) % 10**9).tolist()}


def _as_set(
    rotations: NDArray[np.float64], translations: NDArray[np.float64]
) -> set[tuple[int, ...]]:
    shifts = np.round(translations * 24).astype(int) % 24
    both = np.concatenate([np.round(rotations).astype(int).reshape(-1, 9), shifts], axis=1)
    return {tuple(row) for row in both.tolist()}
