"""The policies in resources/pretrained."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.data import atomic_numbers

from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.policy import Policy

FOLDERS = sorted(
    path.parent
    for path in (Path(__file__).parents[3] / "resources" / "pretrained").glob("*/model.json")
)
ROCK_SALTS = ["NaCl", "KBr", "RbI", "MgO", "CaS", "SrSe", "LiF", "BaO", "TbN", "PbTe"]


def rock_salts(pairs: list[tuple[str, str]]) -> CrystalTokens:
    elements = np.array([[atomic_numbers[a], atomic_numbers[b]] for a, b in pairs])
    count = len(pairs)
    return CrystalTokens(
        space_group=np.full(count, 225),
        wyckoff=np.tile([1, 2], (count, 1)),
        element=elements,
        position=np.tile([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], (count, 1, 1)),
        lattice=np.tile([2.8, 2.8, 2.8, *[np.pi / 2] * 3], (count, 1)),
    )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_is_small_and_knows_salts_from_pairs_of_metals(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10e6
    policy = Policy.load(folder)
    assert policy.space_group_counts.sum() > 20_000
    symbols = [tuple("".join(c if c.islower() else f" {c}" for c in s).split()) for s in ROCK_SALTS]
    metals = [a for a, _ in symbols]
    with torch.no_grad():
        salts = policy.log_prob(rock_salts(symbols)).element
        alloys = policy.log_prob(rock_salts(list(permutations(metals, 2)))).element
    assert float(salts.mean()) > float(alloys.mean()) + 1


def test_there_is_one() -> None:
    assert FOLDERS
