"""Published numbers compared with ours."""

from helpers import synthetic

from crystalformer_rl.config import Config, read
from crystalformer_rl.report.sections.paper import comparison, section


def test_each_number_is_compared_with_the_policies_of_its_kind() -> None:
    table = synthetic.structures({"base": 20, "rl-ehull": 20, "rl-fom": 20})
    run = synthetic.run(table, config=Config())
    found = comparison(run)
    assert set(found["policy"]) == {"base", "rl-ehull"}
    relaxed = found[(found["policy"] == "base") & (found["column"] == "stable")].iloc[0]
    assert relaxed["published"] == 0.578
    assert relaxed["fraction"] == table[table["policy"] == "base"]["stable"].mean()


def test_a_branch_that_is_rewarded_by_energy_among_others_counts() -> None:
    parts = {"low": {"reward": {"kind": "ehull"}}, "new": {"reward": {"kind": "novelty"}}}
    branch = {"reward": {"kind": "combine", "how": "product", "parts": parts}}
    config = read({"rl": {"both": branch}})
    run = synthetic.run(synthetic.structures({"base": 4, "rl-both": 4}), config=config)
    assert "rl-both" in set(comparison(run)["policy"])


def test_a_run_without_these_policies_is_not_compared() -> None:
    run = synthetic.run(synthetic.structures({"theirs": 3}))
    assert comparison(run).empty
    assert section(run) is None
