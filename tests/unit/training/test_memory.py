"""The memory of a branch, by its laws."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crystalformer_rl.config.memory import MemorySettings
from crystalformer_rl.crystal.decoding import decode
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.training.memory import (
    Memory,
    composition_counts,
    composition_keys,
    prototype_keys,
)

KEYS = st.lists(st.integers(-3, 3), max_size=25)
SETTINGS = st.builds(
    lambda full, more, window: MemorySettings(full=full, none=full + more, window=window),
    st.integers(1, 5),
    st.integers(1, 5),
    st.none() | st.integers(1, 30),
)


def memory_of(*batches: list[int]) -> Memory:
    memory = Memory()
    for batch in batches:
        memory = memory.after(np.array(batch, dtype=np.int64))
    return memory


@pytest.mark.parametrize(
    ("before", "batch", "expected"),
    [(0, 1, 1), (0, 3, 1), (0, 4, 11 / 12), (3, 1, 2 / 3), (2, 3, 2 / 3), (5, 1, 0), (50, 2, 0)],
)
def test_by_hand(before: int, batch: int, expected: float) -> None:
    memory = memory_of([7] * before)
    weights = memory.batch_weights(np.full(batch, 7), MemorySettings(full=3, none=6))
    np.testing.assert_allclose(weights, expected)


@given(batches=st.lists(KEYS, max_size=4), keys=KEYS, settings=SETTINGS)
def test_batches_earn_what_single_crystals_would(
    batches: list[list[int]], keys: list[int], settings: MemorySettings
) -> None:
    """Without a window, in total; whatever the batches are."""
    settings = settings.model_copy(update={"window": None})
    memory = memory_of(*batches)
    weights = memory.batch_weights(np.array(keys, dtype=np.int64), settings)
    one_by_one = 0.0
    for key in keys:
        one_by_one += memory.batch_weights(np.array([key]), settings)[0]
        memory = memory.after(np.array([key]))
    assert weights.sum() == pytest.approx(one_by_one)


@given(keys=KEYS, settings=SETTINGS, order=st.randoms(use_true_random=False))
def test_the_order_of_a_batch_never_matters(
    keys: list[int], settings: MemorySettings, order: Random
) -> None:
    places = list(range(len(keys)))
    order.shuffle(places)
    batch, shuffled = np.array(keys, dtype=np.int64), np.array(keys, dtype=np.int64)[places]
    memory = memory_of([0, 1, 1])
    weights = memory.batch_weights(batch, settings)
    np.testing.assert_array_equal(weights[places], memory.batch_weights(shuffled, settings))
    np.testing.assert_array_equal(memory.after(batch).seen, memory.after(shuffled).seen)


@given(batches=st.lists(KEYS, max_size=4), settings=SETTINGS)
def test_what_has_been_seen_more_often_is_worth_less(
    batches: list[list[int]], settings: MemorySettings
) -> None:
    settings = settings.model_copy(update={"window": None})
    memory, keys = memory_of(*batches), np.arange(-3, 4)
    before, after = (m.next_weights(keys, settings) for m in (memory, memory.after(keys)))
    assert (after <= before).all()
    assert ((before >= 0) & (before <= 1)).all()
    assert memory.distinct == len({key for batch in batches for key in batch})


def test_a_window_forgets() -> None:
    memory = memory_of([1] * 9, [2] * 3, [3, 3])
    keys = np.array([1, 2, 3])
    assert memory.occurrences(keys, window=None).tolist() == [9, 3, 2]
    assert memory.occurrences(keys, window=6).tolist() == [1, 3, 2]
    assert memory.occurrences(keys, window=2).tolist() == [0, 0, 2]
    assert memory.distinct == 3


def test_compositions_are_those_of_the_structures(crystals: CrystalTokens) -> None:
    decoded = [one.structure for one in decode(crystals)]
    assert sum(structure is not None for structure in decoded) > 5
    for structure, row in zip(decoded, composition_counts(crystals), strict=True):
        if structure is not None:
            atoms = np.bincount(structure.atomic_numbers, minlength=len(row))
            np.testing.assert_array_equal(atoms // np.gcd.reduce(atoms), row)


def salt(group: int, letters: list[int], elements: list[int]) -> CrystalTokens:
    return CrystalTokens(
        space_group=np.array([group]),
        wyckoff=np.array([letters]),
        element=np.array([elements]),
        position=np.zeros((1, len(letters), 3)),
        lattice=np.ones((1, 6)),
    )


def test_composition_ignores_what_prototype_tells_apart() -> None:
    rock_salt = salt(225, [1, 2], [11, 17])
    other_origin, cesium = salt(225, [1, 2], [17, 11]), salt(221, [1, 2], [11, 17])
    assert composition_keys(rock_salt) == composition_keys(other_origin) == composition_keys(cesium)
    keys = {int(prototype_keys(one)[0]) for one in (rock_salt, other_origin, cesium)}
    assert len(keys) == 3


def test_sites_on_one_letter_have_no_order() -> None:
    one, other = salt(2, [9, 9], [11, 17]), salt(2, [9, 9], [17, 11])
    assert prototype_keys(one) == prototype_keys(other)


def test_settings() -> None:
    with pytest.raises(ValidationError, match="full 6 must be below none 6"):
        MemorySettings(full=6)
