"""The section on the spread of the property models."""

import pandas as pd
import pytest
from helpers import synthetic

from crystalformer_rl.report.sections.uncertainty import section, spread_table


def test_the_deviation_of_the_merit_is_that_of_a_product_of_independent_errors() -> None:
    table = pd.DataFrame(
        {
            "id": ["a", "b"], "policy": "base", "band_gap": [2.0, None],
            "band_gap_std": [0.3, None], "dielectric": [5.0, None], "dielectric_std": [0.6, None],
            "figure_of_merit": [10.0, None],
        }
    )  # fmt: skip
    (row,) = spread_table(table).to_dict("records")
    # Relative deviations of 15 % and 12 %.
    assert row["figure_of_merit_std"] == pytest.approx(10 * (0.15**2 + 0.12**2) ** 0.5)


def test_coverage_is_that_of_the_records_of_the_models() -> None:
    table = synthetic.structures({"base": 12})
    found = section(synthetic.run(table))
    assert found is not None
    # docs/explanation/properties.md: 83 % of 9,046 rows, 60 % of 216 rows.
    assert "7536/9046 = 83.3" in found.body
    assert "130/216 = 60.2" in found.body
    assert len(found.tables["uncertainty"]) == table["band_gap"].notna().sum()


def test_there_is_no_section_without_predictions() -> None:
    table = synthetic.structures({"base": 6}).assign(band_gap_std=None, dielectric_std=None)
    assert section(synthetic.run(table)) is None
