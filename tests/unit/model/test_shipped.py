"""The policies in resources/pretrained."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.policies import FIXTURES
from pymatgen.core import Structure

from crystalformer_rl.crystal.tokenizer import tokenize_many
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.model.policy import Policy

PRETRAINED = Path(__file__).parents[3] / "resources" / "pretrained"
FOLDERS = sorted(path.parent for path in PRETRAINED.glob("*/model.json"))


@pytest.fixture(scope="module")
def validation() -> CrystalTokens:
    """16 validation crystals of MP-20."""
    table = pd.read_csv(FIXTURES / "mp20_val_16.csv")
    structures = [Structure.from_str(text, fmt="cif") for text in table["cif"]]
    tokens, rows, _ = tokenize_many(structures, symprec=0.01, max_sites=20)
    assert len(rows) == 16
    return tokens


def test_there_is_one() -> None:
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_is_small_and_knows_crystals_it_has_not_seen(
    folder: Path, validation: CrystalTokens
) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10e6
    policy = Policy.load(folder)
    assert policy.space_group_counts.sum() > 20_000
    turned = CrystalTokens(
        **(validation.to_arrays() | {"position": validation.position[..., ::-1]})
    )
    other = np.where(validation.element > 0, 1 + (validation.element + 20) % 90, 0)
    changed = CrystalTokens(**(validation.to_arrays() | {"element": other}))
    with torch.no_grad():
        true, moved, renamed = (policy.log_prob(t) for t in (validation, turned, changed))
    assert -30 < float(true.total.mean()) < -10
    assert float(true.element.mean()) > float(renamed.element.mean()) + 2
    assert float(true.position.mean()) > float(moved.position.mean()) + 1
