"""The batch of crystals: shapes, counts, slicing, padding."""

import numpy as np
import pytest

from crystalformer_rl.crystal.tokens import CrystalTokens


def _tokens() -> CrystalTokens:
    """Rock salt, and α-quartz-like positions in group 154."""
    return CrystalTokens(
        space_group=np.array([225, 154]),
        wyckoff=np.array([[1, 2, 0], [1, 3, 0]]),
        element=np.array([[11, 17, 0], [14, 8, 0]]),
        position=np.arange(18).reshape(2, 3, 3) / 18,
        lattice=np.array([[2.8, 2.8, 2.8, 1.57, 1.57, 1.57], [2.4, 2.4, 2.6, 1.57, 1.57, 2.09]]),
    )


def test_counts() -> None:
    tokens = _tokens()
    assert len(tokens) == 2
    assert tokens.max_sites == 3
    assert tokens.num_sites.tolist() == [2, 2]
    assert tokens.num_atoms.tolist() == [8, 9]


def test_indexing_always_gives_a_batch() -> None:
    tokens = _tokens()
    for part in (tokens[1], tokens[-1], tokens[1:], tokens[[1]], tokens[np.array([False, True])]):
        assert len(part) == 1
        assert part.space_group.tolist() == [154]
    assert tokens[np.int64(0)].space_group.tolist() == [225]
    with pytest.raises(IndexError, match="crystal 2 of a batch of 2"):
        tokens[2]


def test_arrays_and_back() -> None:
    tokens = _tokens()
    again = CrystalTokens.from_arrays(tokens.to_arrays() | {"row": np.arange(2)})
    for name, array in tokens.to_arrays().items():
        assert np.array_equal(again.to_arrays()[name], array)
    with pytest.raises(ValueError, match=r"\['lattice'\] are missing"):
        CrystalTokens.from_arrays({k: v for k, v in tokens.to_arrays().items() if k != "lattice"})


def test_padding_and_concatenation() -> None:
    tokens = _tokens()
    joined = CrystalTokens.concatenate([tokens.pad_to(2), tokens.pad_to(5), CrystalTokens.empty(1)])
    assert joined.wyckoff.shape == (4, 5)
    assert joined.num_atoms.tolist() == [8, 9, 8, 9]
    assert np.array_equal(joined.pad_to(3)[2:].wyckoff, tokens.wyckoff)
    with pytest.raises(ValueError, match="cannot pad to 1 sites: a crystal has 2"):
        tokens.pad_to(1)
    with pytest.raises(ValueError, match="no batches"):
        CrystalTokens.concatenate([])


def test_shapes_that_do_not_fit_are_named() -> None:
    arrays = _tokens().to_arrays()
    with pytest.raises(ValueError, match=r"position must be \(2, 3, 3\), got \(2, 2, 3\)"):
        CrystalTokens(**arrays | {"position": arrays["position"][:, :2]})
    with pytest.raises(ValueError, match=r"wyckoff must be \(B, N\)"):
        CrystalTokens(**arrays | {"wyckoff": arrays["wyckoff"][0]})
