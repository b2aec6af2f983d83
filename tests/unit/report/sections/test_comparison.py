"""Stability on the comparison hull."""

import numpy as np
from helpers import synthetic

from crystalformer_rl.config import ComparisonHullSettings, Config
from crystalformer_rl.report.sections import comparison


def test_stability_on_both_hulls_is_shown() -> None:
    table = synthetic.structures({"base": 4}).assign(
        comparison_stable=[True, False, False, False],
        comparison_e_above_hull=[0.05, 0.25, 0.75, np.nan],
        comparison_hull_status=["ok", "ok", "ok", "no_energy"],
    )
    config = Config(comparison_hull=ComparisonHullSettings(files=["mp.csv"]))
    section = comparison.section(synthetic.run(table, config=config))
    assert section is not None
    assert "<code>mp.csv</code>" in section.body
    assert "1/4 = 25.0\u202f%" in section.body
    assert "0.250" in section.body


def test_without_the_hull_there_is_no_section() -> None:
    assert comparison.section(synthetic.run(synthetic.structures({"base": 4}))) is None
