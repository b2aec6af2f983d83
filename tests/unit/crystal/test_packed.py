"""Crystals without pads: the same crystals, whichever way they are asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import map_tensors, write_tensors


def crystals(counts: list[int], *, pads: int = 1, seed: int = 0) -> CrystalTokens:
    """Crystals of so many sites each, of random numbers, with 0 at the pads."""
    random = np.random.default_rng(seed)
    shape = (len(counts), max(counts, default=0) + pads)
    real = np.arange(shape[1]) < np.array(counts, dtype=int)[:, None]
    return CrystalTokens(
        space_group=random.integers(1, 231, len(counts)),
        wyckoff=random.integers(1, 28, shape) * real,
        element=random.integers(1, 119, shape) * real,
        position=random.random((*shape, 3)) * real[:, :, None],
        lattice=random.random((len(counts), 6)),
    )


def assert_same(found: CrystalTokens, expected: CrystalTokens) -> None:
    for name, array in expected.to_arrays().items():
        assert np.array_equal(getattr(found, name), array), name


lengths = st.lists(st.integers(0, 6), max_size=8)


@given(counts=lengths, pads=st.integers(0, 2), seed=st.integers(0, 99))
def test_everything_comes_back(counts: list[int], pads: int, seed: int) -> None:
    tokens = crystals(counts, pads=pads, seed=seed)
    packed = PackedTokens.from_tokens(tokens)
    assert len(packed) == len(counts)
    assert packed.num_sites.tolist() == counts
    assert_same(packed[:].pad_to(tokens.max_sites), tokens)
    again = PackedTokens.from_arrays(packed.to_arrays() | {"row": np.arange(len(counts))})
    assert_same(again[:], packed[:])


@given(data=st.data(), counts=lengths.filter(bool))
def test_rows_are_those_of_the_padded_batch(data: st.DataObject, counts: list[int]) -> None:
    tokens = crystals(counts)
    size = len(counts)
    index = data.draw(
        st.one_of(
            st.integers(-size, size - 1),
            st.slices(size),
            st.lists(st.integers(-size, size - 1)).map(lambda rows: np.array(rows, dtype=int)),
            st.lists(st.booleans(), min_size=size, max_size=size).map(np.array),
        )
    )
    found, expected = PackedTokens.from_tokens(tokens)[index], tokens[index]
    assert found.max_sites == expected.num_sites.max(initial=0)
    assert_same(found.pad_to(tokens.max_sites), expected)


def test_mapped_file_gives_the_same_and_is_not_copied(tmp_path: Path) -> None:
    tokens = crystals([3, 1, 5])
    path = tmp_path / "tokens.safetensors"
    write_tensors(path, PackedTokens.from_tokens(tokens).to_arrays() | {"row": np.arange(3)})
    arrays = map_tensors(path)
    packed = PackedTokens.from_arrays(arrays)
    assert packed.position is arrays["position"]
    assert not packed.position.flags.owndata
    assert_same(packed[np.array([2, 0])].pad_to(6), tokens[[2, 0]])


def test_rows_that_are_not_there() -> None:
    packed = PackedTokens.from_tokens(crystals([2, 1]))
    with pytest.raises(IndexError, match="crystal 2 of 2"):
        packed[np.array([0, 2])]
    with pytest.raises(IndexError, match="crystal -3 of 2"):
        packed[-3]
    with pytest.raises(IndexError, match=r"mask of shape \(3,\) for 2 crystals"):
        packed[np.ones(3, dtype=bool)]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("space_group", np.zeros(2, np.int64), r"space_group must be uint8 of shape \(2,\), got i"),
        ("space_group", np.zeros((2, 1), np.uint8), r"shape \(2,\), got uint8 of shape \(2, 1\)"),
        ("offset", np.array([0, 3]), r"offset must be int64 of shape \(3,\)"),
        ("offset", np.array([0, 4, 3]), "offset must grow from 0 to 3.* falls in between"),
        ("offset", np.array([0, 1, 2]), "it goes from 0 to 2"),
        ("offset", np.array([1, 2, 3]), "it goes from 1 to 3"),
        ("element", np.zeros(4, np.uint8), r"element must be uint8 of shape \(3,\)"),
        ("position", np.zeros((3, 3), np.float32), "position must be float64"),
        ("lattice", np.zeros((1, 6)), r"lattice must be float64 of shape \(2, 6\)"),
    ],
)
def test_arrays_that_do_not_fit_are_named(name: str, array: NDArray[Any], message: str) -> None:
    arrays = PackedTokens.from_tokens(crystals([2, 1])).to_arrays()
    with pytest.raises(ValueError, match=message):
        PackedTokens.from_arrays(arrays | {name: array})


def test_arrays_that_are_missing_are_named() -> None:
    with pytest.raises(ValueError, match=r"\['offset'\] are missing; there are .*'lattice'"):
        PackedTokens.from_arrays(crystals([2]).to_arrays())


def test_crystals_that_cannot_be_packed() -> None:
    arrays = crystals([2, 1]).to_arrays()
    gap = arrays["wyckoff"].copy()
    gap[1] = [0, 1, 0]
    with pytest.raises(
        ValueError, match="crystal 1 has a letter or an element after its first pad"
    ):
        PackedTokens.from_tokens(CrystalTokens(**arrays | {"wyckoff": gap}))
    large = 300 * (arrays["wyckoff"] > 0)
    with pytest.raises(ValueError, match="element 300 must be 0 to 255"):
        PackedTokens.from_tokens(CrystalTokens(**arrays | {"element": large}))
