"""Generated pages of the reference."""

from crystalformer_rl.evaluation.columns import BY_NAME, COLUMNS
from crystalformer_rl.tools.list_pages import render_columns


def test_every_column_and_fraction_has_a_row_of_the_same_width() -> None:
    lines = render_columns().splitlines()
    for name in BY_NAME:
        assert [line for line in lines if line.startswith(f"| `{name}` |")], name
    rows = [line for line in lines if line.startswith("| ")][: 1 + len(COLUMNS)]
    assert {line.count("|") for line in rows} == {7}
