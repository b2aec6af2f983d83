"""Whether a run can start from a policy, decided without loading it."""

from pathlib import Path

import numpy as np
import pytest
from helpers.policies import TINY

from crystalformer_rl.model.folder import check_policy
from crystalformer_rl.model.policy import Policy


def test_a_histogram_is_needed_where_something_samples_by_it(tmp_path: Path) -> None:
    Policy(TINY, space_group_counts=np.ones(231, dtype=np.int64)).save(tmp_path)
    check_policy(tmp_path, by_histogram=["sample", "rl.a"])
    Policy(TINY).save(tmp_path)
    check_policy(tmp_path, by_histogram=[])
    with pytest.raises(ValueError, match=r"no histogram .* by which sample, rl.a would") as e:
        check_policy(tmp_path, by_histogram=["sample", "rl.a"])
    for way in ("(space_groups)", "space_group_weights: uniform", "--space-groups mp20-small"):
        assert way in str(e.value)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"space_group_counts": 3}'])
def test_a_damaged_description(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ValueError, match=r"/model.json: not the description of a policy"):
        check_policy(tmp_path, by_histogram=[])


def test_no_description(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"/model.json: no such file"):
        check_policy(tmp_path, by_histogram=[])
