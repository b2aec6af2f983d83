"""The publish verb: weights in bfloat16 with the records of their training."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.policies import TINY

from crystalformer_rl.cli import main
from crystalformer_rl.files import write_json, write_table
from crystalformer_rl.model.policy import Policy


def test_half_the_bytes_and_nearly_the_same_scores(tmp_path: Path) -> None:
    policy = Policy(TINY, seed=1, space_group_counts=np.ones(231))
    policy.save(tmp_path / "pretrain")
    out = tmp_path / "published"
    with pytest.raises(SystemExit):
        main(["publish", "--policy", str(tmp_path / "pretrain"), "--out", str(out)])
    assert not out.exists()
    write_table(tmp_path / "pretrain" / "history.parquet", pd.DataFrame({"epoch": [0]}))
    write_json(tmp_path / "pretrain" / "provenance.json", {"stage": "pretrain"})
    main(["publish", "--policy", str(tmp_path / "pretrain"), "--out", str(out)])
    weights = [path / "model.safetensors" for path in (out, tmp_path / "pretrain")]
    small, large = (path.stat().st_size for path in weights)
    assert small < 0.65 * large
    published = Policy.load(out)
    assert next(published.parameters()).dtype == torch.float32
    for rounded, exact in zip(published.parameters(), policy.parameters(), strict=True):
        torch.testing.assert_close(rounded, exact, rtol=2**-8, atol=0)
    assert sorted(path.name for path in out.iterdir()) == [
        "history.parquet",
        "model.json",
        "model.safetensors",
        "provenance.json",
    ]
