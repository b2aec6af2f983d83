"""The records of the property models, against the numbers of docs/explanation/properties.md."""

import pytest

from crystalformer_rl.properties.record import held_out


def test_the_records_are_those_of_the_documentation() -> None:
    gap, constant = held_out("band_gap"), held_out("dielectric")
    assert (gap.rows, constant.rows) == (9046, 216)
    assert gap.within / gap.rows == pytest.approx(0.83, abs=0.005)
    assert constant.within / constant.rows == pytest.approx(0.60, abs=0.005)
    assert (round(gap.mae, 3), round(constant.mae, 2)) == (0.237, 1.33)
    assert (round(gap.std_scale, 2), round(constant.std_scale, 2)) == (1.58, 0.99)
    assert round(gap.rank, 2) == 0.93
