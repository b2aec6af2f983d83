"""Elements on the periodic table."""

import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from crystalformer_rl.report.sections.elements import HEAVIEST, draw, element_counts, element_table

TABLE = pd.DataFrame(
    {
        "policy": ["base", "base", "base", "sft"],
        "formula": ["NaCl", "Na2O", None, "Cf"],
        "sun": [True, False, False, True],
    }
)


def test_an_element_counts_once_in_a_crystal_and_failures_do_not_count() -> None:
    found = element_counts(TABLE[TABLE["policy"] == "base"])
    assert found.to_dict() == {"Na": 1.0, "Cl": 0.5, "O": 0.5}


def test_elements_of_sun_structures_are_beside_those_of_all() -> None:
    found = element_table(TABLE).set_index(["policy", "element"])
    assert found.loc[("base", "O")].tolist() == [0.5, 0.0]
    assert found.loc[("base", "Cl")].tolist() == [0.5, 1.0]
    assert found.loc[("sft", "Cf")].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("policies", [[], ["base"], ["base", "sft", "rl"]])
def test_every_element_has_its_own_place(policies: list[str]) -> None:
    drawing = draw({policy: pd.Series({"Na": 1.0}) for policy in policies})
    for axis in drawing.axes[: len(policies)]:
        squares = [one for one in axis.patches if isinstance(one, Rectangle)]
        assert len({one.get_xy() for one in squares}) == HEAVIEST


def test_an_empty_table_has_no_rows() -> None:
    assert element_table(TABLE.head(0)).empty
