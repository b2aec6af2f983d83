"""Elements that may and must stand on given sites."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.constraints import Constraints
from crystalformer_rl.model.substitution import another, enforce, has_all

SITES = 4


def crystals(elements: list[list[int]]) -> CrystalTokens:
    element = np.array([[*row, *[0] * (SITES - len(row))] for row in elements])
    count = len(element)
    return CrystalTokens(
        space_group=np.ones(count),
        wyckoff=element > 0,
        element=element,
        position=np.zeros((count, SITES, 3)),
        lattice=np.ones((count, 6)),
    )


def only(*numbers: int) -> np.ndarray:
    return np.tile(np.isin(np.arange(119), numbers), (SITES, 1))


@given(
    rows=st.lists(st.lists(st.integers(1, 6), min_size=2, max_size=SITES), min_size=1, max_size=5),
    required=st.sets(st.integers(3, 6), max_size=2),
    seed=st.integers(0, 99),
)
def test_crystals_are_made_to_obey(rows: list[list[int]], required: set[int], seed: int) -> None:
    tokens, before = crystals(rows), crystals(rows).element
    enforce(tokens, Constraints(only(3, 4, 5, 6), tuple(required)), np.random.default_rng(seed))
    assert has_all(tokens.element, required).all()
    assert set(np.unique(tokens.element)) <= {0, 3, 4, 5, 6}
    np.testing.assert_array_equal(tokens.element > 0, before > 0)
    obeyed = has_all(before, required) & ~np.isin(before, [1, 2]).any(axis=1)
    np.testing.assert_array_equal(tokens.element[obeyed], before[obeyed])


def test_an_element_that_is_there_keeps_its_site() -> None:
    tokens = crystals([[3, 4, 5]] * 20)
    enforce(tokens, Constraints(only(3, 4, 5, 6), (4, 6)), np.random.default_rng(0))
    assert (tokens.element[:, 1] == 4).all()
    assert (tokens.element == 6).any(axis=0).tolist() == [True, False, True, False]


def test_more_required_than_sites() -> None:
    constraints = Constraints(only(3, 4, 5), (3, 4, 5))
    with pytest.raises(ValueError, match="crystal 1 has 2 sites, but 3 elements are required"):
        enforce(crystals([[3, 4, 5], [3, 4]]), constraints, np.random.default_rng(0))


def test_another_is_each_of_the_others_alike() -> None:
    choices = np.array([3, 11, 19])
    drawn = another(choices, np.repeat(choices, 1000), np.random.default_rng(0)).reshape(3, 1000)
    for current, row in zip(choices, drawn, strict=True):
        seen = Counter(row.tolist())
        assert set(seen) == set(choices.tolist()) - {int(current)}
        assert min(seen.values()) > 400
    assert another(choices[:1], choices[:1], np.random.default_rng(0)).tolist() == [3]
