"""Whether a run can start from a policy, told without loading it."""

from pathlib import Path

import numpy as np
import pytest
from helpers.tiny import TINY

from crystalformer_rl.config import read
from crystalformer_rl.model.folder import unfit
from crystalformer_rl.model.policy import Policy

UNIFORM = {"space_group_weights": "uniform"}
NAMED = {"space_groups": [225]}


@pytest.mark.parametrize(
    ("raw", "drawn"),
    [
        ({}, "sample, rl.ehull, rl.fom"),
        ({"sample": UNIFORM}, "rl.ehull, rl.fom"),
        ({"sample": NAMED, "rl": {"a": UNIFORM, "b": {}, "c": NAMED}}, "rl.b"),
        ({"sample": NAMED, "rl": {"a": UNIFORM}}, None),
        ({"sample": UNIFORM, "rl": {}}, None),
    ],
)
def test_a_histogram_is_needed_where_nothing_else_is_said(
    tmp_path: Path, raw: dict[str, object], drawn: str | None
) -> None:
    config = read(raw)
    Policy(TINY, space_group_counts=np.ones(231, dtype=np.int64)).save(tmp_path)
    assert unfit(tmp_path, config) is None
    Policy(TINY).save(tmp_path)
    problem = unfit(tmp_path, config)
    if drawn is None:
        assert problem is None
    else:
        assert problem is not None
        assert f"no histogram of space groups, by which {drawn} would draw" in problem
        for way in ("space_groups", "space_group_weights: uniform", "--space-groups mp20-small"):
            assert way in problem


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"space_group_counts": 3}'])
def test_a_damaged_description(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_text(text)
    problem = unfit(tmp_path, read({}))
    assert problem is not None
    assert f"{tmp_path}/model.json: not the description of a policy" in problem


def test_no_description(tmp_path: Path) -> None:
    assert f"{tmp_path}/model.json: no such file" in str(unfit(tmp_path, read({})))
