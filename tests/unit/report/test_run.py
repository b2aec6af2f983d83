"""What the page shows of a run."""

import pandas as pd
import pytest
from helpers import synthetic

from crystalformer_rl.config import Config
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.report.run import Run


def test_table_and_summary_of_different_evaluations_are_refused() -> None:
    table = synthetic.structures({"base": 3, "sft": 3})
    summary = summarise(table[table.policy == "base"])
    with pytest.raises(ValueError, match="not of one evaluation"):
        Run(table, summary, Config(), {}, {})


def test_table_without_policy_is_refused() -> None:
    table = synthetic.structures({"base": 3})
    with pytest.raises(ValueError, match=r"lacks \['policy'\]"):
        Run(table.drop(columns="policy"), summarise(table), Config(), {}, {})


def test_the_order_of_the_table_is_kept_where_json_has_sorted_the_policies() -> None:
    table = synthetic.structures({"base": 2, "sft": 2, "rl-ehull": 2})
    summary = summarise(table)
    by_name = {**summary, "policies": dict(sorted(summary["policies"].items()))}
    run = Run(table, by_name, Config(), {}, {})
    assert list(run.policies) == ["base", "sft", "rl-ehull"]
    assert list(run.colours) == ["base", "sft", "rl-ehull"]


def test_shares_and_means_are_those_of_the_summary() -> None:
    table = synthetic.structures({"base": 60, "sft": 40})
    run = synthetic.run(table)
    share = run.share("sft", "stable")
    assert (share.k, share.n) == (table[table.policy == "sft"]["stable"].sum(), 40)
    assert share.low < share.fraction < share.high
    energies = table[table.policy == "sft"]["e_above_hull"].dropna()
    mean = run.mean("sft", "e_above_hull")
    assert mean.value == pytest.approx(energies.mean())
    assert mean.n == len(energies)


def test_rounds_are_joined_and_of_a_repeated_step_the_last_counts() -> None:
    first, second = (synthetic.round_history(number) for number in (1, 2))
    repeated = first.head(2).assign(kl=-1.0)
    run = synthetic.run(
        synthetic.structures({"base": 2}),
        histories={"rl-a": [second, first, repeated], "rl-b": [first.head(0)], "sft": []},
    )
    assert list(run.branches) == ["rl-a"]
    assert run.branches["rl-a"]["step"].tolist() == list(range(1, 25))
    assert run.branches["rl-a"]["kl"].tolist()[:2] == [-1.0, -1.0]
    assert run.losses == {}
    assert isinstance(run.branches["rl-a"], pd.DataFrame)


def test_rounds_of_supervised_fine_tuning_go_on_where_the_one_before_ended() -> None:
    rounds = [synthetic.sft_history(number, epochs=2) for number in (2, 1)]
    run = synthetic.run(synthetic.structures({"base": 2}), histories={"rl-a": rounds})
    course = run.branches["rl-a"]
    assert course["round"].tolist() == [1, 1, 1, 2, 2, 2]
    assert course["epoch"].tolist() == [0, 1, 2, 2, 3, 4]
    assert course["step"].tolist() == [0, 3, 6, 6, 9, 12]
