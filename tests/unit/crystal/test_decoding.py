"""Tokens to structures, what cannot be decoded, and the round trip over random tokens."""

import moyopy
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher

from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.decoding import decode, primitive_cell
from crystalformer_rl.crystal.tokenizer import SiteTokens, batch, tokenize
from crystalformer_rl.crystal.tokens import CrystalTokens

RIGHT = np.pi / 2
ROCK_SALT = SiteTokens(
    space_group=225,
    wyckoff=np.array([1, 2]),
    element=np.array([11, 17]),
    position=np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]),
    lattice=np.array([2.82, 2.82, 2.82, RIGHT, RIGHT, RIGHT]),
)


@st.composite
def random_crystals(draw: st.DrawFn) -> SiteTokens:
    """Letters that may stand together, anywhere on their positions, in a fair cell."""
    group = draw(st.integers(1, 230))
    highest = len(wyckoff.positions(group))
    letters: list[int] = []
    for letter in sorted(draw(st.lists(st.integers(1, highest), min_size=1, max_size=3))):
        if letter not in letters or wyckoff.has_freedom()[group, letter]:
            letters.append(letter)
    number = len(letters)
    coordinates = draw(st.lists(st.integers(0, 9999), min_size=3 * number, max_size=3 * number))
    elements = draw(st.lists(st.integers(1, 94), min_size=number, max_size=number))
    lengths = draw(st.lists(st.floats(2.0, 4.0), min_size=3, max_size=3))
    angles = draw(st.lists(st.floats(75, 105), min_size=3, max_size=3))
    xyz = np.array(coordinates).reshape(-1, 3) / 10000
    return SiteTokens(
        space_group=group,
        wyckoff=np.array(letters),
        element=np.array(elements),
        position=np.array(
            [wyckoff.project(group, w, point) for w, point in zip(letters, xyz, strict=True)]
        ),
        lattice=np.array([*lengths, *np.radians(angles)]),
    )


@settings(max_examples=60)
@given(random_crystals())
def test_round_trip_of_random_tokens(crystal: SiteTokens) -> None:
    (decoded,) = decode(batch([crystal], max_sites=4))
    structure = decoded.structure
    assert structure is not None, decoded.error
    assume(len(structure) <= 100)
    distances = structure.distance_matrix + 10 * np.eye(len(structure))
    assume(distances.min() > 0.3)
    tokens = tokenize(structure, symprec=1e-3, max_sites=200)
    assert isinstance(tokens, SiteTokens), tokens
    (again,) = decode(batch([tokens], max_sites=len(tokens.wyckoff)))
    assert again.structure is not None
    assert again.structure.volume / len(again.structure) == pytest.approx(
        structure.volume / len(structure), rel=1e-3
    )
    # The group found contains the one named: as many operations per atom, or a multiple.
    named = _order(crystal.space_group) / len(structure)
    found = _order(tokens.space_group) / len(again.structure)
    assert round(found / named, 6) == int(round(found / named, 6)) >= 1


def _order(group: int) -> int:
    """Operations of the primitive cell."""
    return len(moyopy.operations_from_number(group, primitive=True))


def test_rock_salt() -> None:
    (decoded,) = decode(batch([ROCK_SALT], max_sites=3))
    assert decoded.error is None
    assert decoded.structure is not None
    assert decoded.structure.formula == "Na1 Cl1"
    assert decoded.structure.volume == pytest.approx((2.82 * 2) ** 3 / 4)
    assert decoded.structure.get_distance(0, 1) == pytest.approx(2.82)


def test_tokens_off_their_position_are_projected() -> None:
    crystal = SiteTokens(**vars(ROCK_SALT) | {"position": np.full((2, 3), 0.123)})
    off, on = decode(batch([crystal, ROCK_SALT], max_sites=2))
    assert off.structure is not None
    assert on.structure is not None
    assert StructureMatcher().fit(off.structure, on.structure)


def test_atoms_on_one_another_are_kept() -> None:
    tokens = CrystalTokens(
        space_group=np.array([2]),
        wyckoff=np.array([[9]]),
        element=np.array([[6]]),
        position=np.zeros((1, 1, 3)),
        lattice=np.array([[3.0, 3, 3, RIGHT, RIGHT, RIGHT]]),
    )
    (decoded,) = decode(tokens)
    assert decoded.structure is not None
    assert len(decoded.structure) == 2


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"space_group": 0}, "space group 0: must be 1 to 230"),
        ({"space_group": 1}, r"letter 2 in space group 1: must be 1 \('a'\) to 1 \('a'\)"),
        ({"wyckoff": np.array([0, 0]), "element": np.array([0, 0])}, "no sites"),
        ({"wyckoff": np.array([0, 2])}, "a site follows a pad"),
        ({"wyckoff": np.array([1, 0])}, "a site follows a pad"),
        ({"element": np.array([11, 0])}, r"elements \[11  0\]: each must be 1 to 118"),
        ({"element": np.array([11, 119])}, "each must be 1 to 118"),
        ({"position": np.full((2, 3), np.nan)}, "not a finite number"),
        ({"lattice": np.array([0.0, 1, 1, 1, 1, 1])}, "each must be positive"),
        ({"lattice": np.array([np.nan, 1, 1, 1, 1, 1])}, "each must be positive and finite"),
    ],
)
def test_what_cannot_be_decoded_says_why(change: dict[str, object], error: str) -> None:
    crystal = SiteTokens(**vars(ROCK_SALT) | change)
    bad, good = decode(batch([crystal, ROCK_SALT], max_sites=2))
    assert bad.structure is None
    assert bad.error is not None
    with pytest.raises(ValueError, match=error):
        raise ValueError(bad.error)
    assert good.error is None


def test_angles_that_close_no_cell() -> None:
    crystal = SiteTokens(
        1, np.array([1]), np.array([6]), np.zeros((1, 3)), np.array([3, 3, 3, 0.5, 0.5, 2.0])
    )
    (decoded,) = decode(batch([crystal], max_sites=1))
    assert decoded.error is not None
    assert "close no cell" in decoded.error


def test_cell_to_structure_and_back() -> None:
    (decoded,) = decode(batch([ROCK_SALT], max_sites=2))
    assert decoded.structure is not None
    cell = Cell.of(decoded.structure)
    assert Cell.of(cell.structure()).numbers.tolist() == [11, 17]


@settings(max_examples=20)
@given(st.lists(random_crystals(), min_size=1, max_size=4), st.integers(0, 3))
def test_a_crystal_is_decoded_alone_as_among_others(crystals: list[SiteTokens], bad: int) -> None:
    tokens = batch(crystals, max_sites=4)
    if bad < len(crystals):
        tokens.element[bad, 0] = 0
    together = decode(tokens)
    for index, (found, crystal) in enumerate(zip(together, crystals, strict=True)):
        if index == bad:
            assert found.cell is found.structure is None
            assert "a site follows a pad" in str(found.error) or "elements" in str(found.error)
            continue
        alone = primitive_cell(**vars(crystal))
        assert found.cell is not None
        for name in ("matrix", "numbers", "positions"):
            np.testing.assert_array_equal(getattr(found.cell, name), getattr(alone, name))
