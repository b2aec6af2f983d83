"""Fractions, means and the funnel."""

from helpers import synthetic

from crystalformer_rl.evaluation.columns import BY_NAME
from crystalformer_rl.report import markup
from crystalformer_rl.report.sections import policies
from crystalformer_rl.report.values import by_policy


def test_funnel_never_widens_and_ends_at_sun() -> None:
    for rows in by_policy(synthetic.structures({"base": 60, "sft": 40})).values():
        counts = list(policies.funnel(rows).values())
        assert counts[0] == len(rows)
        assert counts == sorted(counts, reverse=True)
        assert counts[-1] == rows["sun"].sum()


def test_every_shown_column_is_a_heading_with_its_definition() -> None:
    body = policies.section(synthetic.run(synthetic.structures({"base": 12}))).body
    shown = [one for one in BY_NAME.values() if one.shown]
    assert {"sun", "sun_supported", "e_above_hull"} <= {one.name for one in shown}
    for one in shown:
        assert f'<th scope="col">{markup.heading(one.name)}</th>' in body
        assert markup.prose(one.meaning) in body


def test_the_csv_has_every_fraction_and_mean_of_the_summary() -> None:
    run = synthetic.run(synthetic.structures({"base": 4}).assign(sun=True, supported=False))
    written = policies.policy_table(run).set_index("quantity")
    assert (written.loc["sun_supported", "k"], written.loc["sun_supported", "n"]) == (0, 4)
    assert written.loc["mean_e_above_hull", "mean"] == run.mean("base", "e_above_hull").value
    entry = run.policies["base"]
    assert len(written) == len(entry["fractions"]) + len(entry["numbers"])
