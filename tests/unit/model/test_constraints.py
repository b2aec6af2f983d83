"""From settings to masks, and what no crystal can obey."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.config import SYMBOLS, ConstraintSettings
from crystalformer_rl.crystal import wyckoff
from crystalformer_rl.model import constraints
from crystalformer_rl.model.constraints import Constraints, build, following_sites, unconstrained


def symbols(allowed: np.ndarray) -> set[str]:
    return {SYMBOLS[z - 1] for z in np.flatnonzero(allowed)}


def test_no_settings_allow_everything() -> None:
    found = build(ConstraintSettings(), max_sites=5)
    np.testing.assert_array_equal(found.elements, unconstrained(5).elements)
    assert (found.required, found.letters, found.max_atoms) == ((), None, None)
    assert found.max_sites == 5
    assert symbols(found.elements[4]) == set(SYMBOLS)


def test_flags_leave_elements_out() -> None:
    settings = ConstraintSettings(exclude_radioactive=True, exclude_noble_gases=True)
    left = symbols(build(settings, max_sites=1).elements[0])
    assert {"Bi", "Pb"} <= left
    for out in ("Tc Pm Po At Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt",
                "Ds Rg Cn Nh Fl Mc Lv Ts He Ne Ar Kr Xe Rn Og"):  # fmt: skip
        assert not left & {*out.split()}
    assert len(left) == 118 - 37 - 7 + 2


def test_all_settings_become_masks() -> None:
    found = build(
        ConstraintSettings(
            elements=["Na", "Cl", "O"],
            site_elements=[["Na", "K"], ["O"]],
            wyckoff=["a", "b", "b", "A"],
        ),
        max_sites=4,
    )
    expected = [{"Na"}, {"O"}, {"Na", "Cl", "O"}, {"Na", "Cl", "O"}]
    assert [symbols(row) for row in found.elements] == expected
    assert found.letters == (1, 2, 2, 27)
    found = build(ConstraintSettings(required=["O", "Na", "O"], max_atoms=9), max_sites=4)
    assert (found.required, found.max_atoms) == ((8, 11), 9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"elements": ["He", "Ne"], "exclude_noble_gases": True},
            r"no element of \['He', 'Ne'\]",
        ),
        (
            {"elements": ["Na", "Cl"], "required": ["O"]},
            "required element O is not allowed; allowed are Na, Cl",
        ),
        (
            {"exclude_radioactive": True, "required": ["Pu"]},
            r"Pu is not allowed; allowed are H, He, Li, .*, Mg, … \(81 elements\)$",
        ),
        (
            {"elements": ["Na", "Cl"], "site_elements": [["Na"], ["O"]]},
            r"site 2: none of \['O'\] is allowed; allowed are Na, Cl",
        ),
        ({"site_elements": [["Na"]] * 4}, "site_elements has 4 sites, the model has at most 3"),
        (
            {"required": ["H", "O", "C", "N"]},
            r"4 required elements \(H, O, C, N\), but the model has 3 sites",
        ),
        (
            {"required": ["H", "O"], "wyckoff": ["a"]},
            r"2 required elements \(H, O\), but the template has 1 sites",
        ),
        (
            {"site_elements": [["Na"]] * 2, "wyckoff": ["a"]},
            "site_elements has 2 lists, but the template wyckoff has 1 sites",
        ),
        ({"wyckoff": ["a"] * 4}, "letters: give 1 to 3, got 4"),
    ],
)
def test_settings_that_contradict(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(ConstraintSettings(**settings), max_sites=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"elements": np.zeros((3, 119), dtype=np.bool_)}, "at least one of 1 to 118"),
        ({"elements": np.ones((3, 119), dtype=np.bool_)}, "at least one of 1 to 118"),
        ({"elements": np.ones((3, 118), dtype=np.bool_)}, r"got bool of shape \(3, 118\)"),
        ({"elements": np.ones((3, 119))}, "must be bool"),
        ({"required": (0,)}, "required element 0"),
        ({"required": (8, 11, 8)}, "must be distinct, got O, Na, O"),
        ({"letters": (2, 1)}, "letters must be 1 to 27 in order"),
        ({"letters": (0, 1)}, "letters must be 1 to 27 in order"),
        ({"letters": (1,), "max_atoms": 3}, "letters fix the number of atoms"),
    ],
)
def test_constraints_that_cannot_be(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Constraints(**({"elements": unconstrained(3).elements} | changes))


@pytest.mark.parametrize(
    ("group", "changes", "message"),
    [
        (225, {"letters": (1, 13)}, "letter m does not exist: space group 225 has .* a to l"),
        (225, {"letters": (1, 1)}, "letter a has no free .* 225 .*, of which e, f, g, h, i, j, k"),
        (227, {"max_atoms": 1}, "space group 227 has at least 2 atoms in its primitive cell"),
        (
            221,
            {"max_atoms": 1, "required": (11, 17)},
            r"group 221: 2 required elements \(Na, Cl\), but max_atoms = 1 leaves room for 1 sites",
        ),
    ],
)
def test_groups_that_cannot_obey(group: int, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Constraints(unconstrained(21).elements, **changes).check([group])


def test_groups_that_can_obey() -> None:
    elements = unconstrained(21).elements
    Constraints(elements, letters=(1, 5, 5)).check([225])
    Constraints(elements, max_atoms=2, required=(11, 17)).check([1, 221])


def test_atoms_of_the_primitive_cell() -> None:
    table = constraints.primitive_multiplicities()
    for group in (1, 5, 38, 155, 225, 230):
        for position in wyckoff.positions(group):
            images = wyckoff.primitive_images(group, position.index)
            assert table[group, position.index] == len(images)


@given(group=st.integers(1, 230), max_atoms=st.integers(1, 30), max_sites=st.integers(1, 6))
def test_most_sites_that_can_follow(group: int, max_atoms: int, max_sites: int) -> None:
    """Against a search over all sequences of letters."""
    atoms = constraints.primitive_multiplicities()[group]
    free = wyckoff.has_freedom()[group]

    @cache
    def most(letter: int, left: int, sites: int) -> int:
        nexts = range(letter + (not free[letter]), int((atoms > 0).sum()) + 1) if sites else ()
        return max(
            (1 + most(n, left - int(atoms[n]), sites - 1) for n in nexts if atoms[n] <= left),
            default=0,
        )

    table = following_sites(group, max_atoms, max_sites)
    for letter in range(int((atoms > 0).sum()) + 1):
        expected = [most(letter, left, max_sites) for left in range(max_atoms + 1)]
        assert table[letter].tolist() == expected


def test_a_huge_limit_needs_no_huge_table() -> None:
    assert following_sites(225, 10**9, 21).shape == (28, 21 * 48 + 1)
    Constraints(unconstrained(21).elements, required=(11,), max_atoms=10**9).check([225])
