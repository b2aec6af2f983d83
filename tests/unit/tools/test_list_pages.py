"""Generated pages of the reference."""

from crystalformer_rl.config.potentials import FORMS
from crystalformer_rl.evaluation.columns import BY_NAME, COLUMNS
from crystalformer_rl.evaluation.criteria import FAILURE_STAGES
from crystalformer_rl.potentials import relax
from crystalformer_rl.stability import hull
from crystalformer_rl.tools.list_pages import render_columns, render_potentials, render_statuses


def test_every_column_and_fraction_has_a_row_of_the_same_width() -> None:
    lines = render_columns().splitlines()
    for name in BY_NAME:
        assert [line for line in lines if line.startswith(f"| `{name}` |")], name
    rows = [line for line in lines if line.startswith("| ")][: 1 + len(COLUMNS)]
    assert {line.count("|") for line in rows} == {7}


def test_every_status_has_its_meaning() -> None:
    text = render_statuses()
    for name, meaning in [
        *relax.STATUSES.items(),
        *hull.STATUSES.items(),
        *FAILURE_STAGES.items(),
    ]:
        assert f"| `{name}` | {meaning} |" in text


def test_every_form_of_a_potential_is_listed() -> None:
    text = render_potentials()
    assert all(f"`{form}`" in text for form in FORMS)
