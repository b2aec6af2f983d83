"""Headline numbers and findings."""

from dataclasses import replace

from helpers import synthetic

from crystalformer_rl.config import Config, JudgeSettings, read
from crystalformer_rl.report.sections.differences import differences
from crystalformer_rl.report.sections.summary import findings, section, statement
from crystalformer_rl.report.warnings import warnings


def test_findings_are_of_training_and_of_the_differences() -> None:
    table = synthetic.structures({"base": 20, "rl-ehull": 20})
    text = findings(synthetic.run(table, histories={"base": [synthetic.losses()]}))
    assert "validation loss 31.60 before" in text
    assert "Every policy compared with the base policy" in text


def test_the_first_warning_is_one_line_and_all_are_behind_it() -> None:
    table = synthetic.structures({"base": 20}).assign(hull_compounds=0, unique=False)
    run = synthetic.run(table)
    body = section(run).body
    summary = body.split("<summary>")[1].split("</summary>")[0]
    assert warnings(run)[0] in summary
    assert f"and {len(warnings(run)) - 1} more" in summary
    behind = body.split("</summary>")[1].split("</details>")[0]
    assert all(one in behind for one in warnings(run))


def test_other_generators_are_named_with_their_files() -> None:
    table = synthetic.structures({"base": 4, "theirs": 4})
    config = Config(external={"theirs": "theirs.extxyz"})
    said = str(statement(synthetic.run(table, config=config)))
    assert "<b>theirs</b>, from <code>theirs.extxyz</code>" in said
    assert "other generators" not in str(statement(synthetic.run(table)))


def test_the_judge_is_named_where_there_is_one() -> None:
    table = synthetic.structures({"base": 4})
    config = Config(judge=JudgeSettings(potential="sevennet"))
    assert (
        "<b>SevenNet</b>, which rewarded no policy"
        in section(synthetic.run(table, config=config)).body
    )
    config = Config(judge=JudgeSettings(potential=None))
    assert "SevenNet" not in section(synthetic.run(table, config=config)).body


def test_a_combined_reward_is_named_with_its_parts() -> None:
    gap = {"kind": "property", "name": "band_gap", "target": 2.0, "minimum": 0, "maximum": 6}
    parts = {
        "stable": {"reward": {"kind": "ehull"}},
        "new": {"reward": {"kind": "novelty"}},
        "gap": {"reward": gap},
    }
    branch = {"reward": {"kind": "combine", "how": "product", "parts": parts}}
    run = synthetic.run(
        synthetic.structures({"base": 4, "rl-both": 4}), config=read({"rl": {"both": branch}})
    )
    assert (
        "<b>rl-both</b> was rewarded by the product of several rewards: its energy above hull with "
        "CHGNet, the novelty of its formula, its band gap (near 2) with CHGNet"
    ) in statement(run)
    assert {one.name for one in differences(run)} >= {"mean_band_gap"}
    without = run.config.model_copy(update={"judge": JudgeSettings(potential=None)})
    assert "One potential for reward and evaluation" in " ".join(
        warnings(replace(run, config=without))
    )
