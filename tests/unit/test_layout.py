"""Where the files of a run are."""

import argparse
import re
from typing import Any

import pytest

from crystalformer_rl import layout
from crystalformer_rl.config import read
from crystalformer_rl.layout import Layout

SAMPLE = {"count": 100, "shard_size": 50}
RL = {"a": {"rounds": 2}, "b": {"rounds": 1, "start": "sft"}}


def files(base_policy: str | None = None, **raw: Any) -> Layout:
    return Layout(read({"run": "r", "sample": SAMPLE, "rl": RL} | raw), base_policy)


def test_a_round_reads_the_crystals_of_all_rounds_before() -> None:
    folder = "results/r/rl-a"
    assert files().earlier_crystals("a", 1) == []
    assert files().earlier_crystals("a", 3) == [
        f"{folder}/round-1/crystals.parquet",
        f"{folder}/round-2/crystals.parquet",
    ]


def test_crystals_of_every_round_are_kept_but_of_iterated_sft() -> None:
    found = files(rl={"a": {"rounds": 2}, "b": {"algorithm": "sft"}}).sampled_in_rl
    rounds = [f"results/r/rl-a/round-{number}/crystals.parquet" for number in (1, 2)]
    assert [path for policy, path in found if policy == "rl-a"] == rounds
    assert "rl-b" not in {policy for policy, _ in found}


def test_policies_and_the_trainings_behind_them() -> None:
    assert files().policies == ["base", "sft", "rl-a", "rl-b"]
    assert files().trained("history.parquet") == [
        ("base", "results/r/pretrain/history.parquet"),
        ("sft", "results/r/sft/history.parquet"),
        ("rl-a", "results/r/rl-a/round-1/history.parquet"),
        ("rl-a", "results/r/rl-a/round-2/history.parquet"),
        ("rl-b", "results/r/rl-b/round-1/history.parquet"),
    ]


def test_crystals_of_another_generator_are_compared_and_not_trained() -> None:
    here = files(external={"theirs": "a.extxyz"})
    assert here.policies == ["base", "sft", "rl-a", "rl-b", "theirs"]
    assert here.trained("history.parquet") == files().trained("history.parquet")
    assert here.evaluated("relax")[-1] == "results/r/relax/theirs/shard-0001.parquet"
    assert (here.external, files().external) == ("theirs", "(?!)")
    with pytest.raises(ValueError, match="unknown policy 'theirs'"):
        here.weights("theirs")


def test_weights_are_those_of_the_last_training() -> None:
    assert files().weights("base") == "results/r/pretrain/model.safetensors"
    assert files().weights("rl-a") == "results/r/rl-a/round-2/model.safetensors"


def test_a_given_base_policy_has_weights_and_no_training() -> None:
    given = files(base_policy="mine")
    assert given.weights("base") == "mine/model.safetensors"
    assert given.start("a", 1) == "mine/model.safetensors"
    assert {policy for policy, _ in given.trained("history.parquet")} == {"sft", "rl-a", "rl-b"}


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown policy 'rl-c': this run has base, sft, rl-a"):
        files().weights("rl-c")


@pytest.mark.parametrize(
    ("branch", "number", "folder"),
    [("a", 1, "pretrain"), ("a", 2, "rl-a/round-1"), ("b", 1, "sft")],
)
def test_a_round_starts_from_the_round_before(branch: str, number: int, folder: str) -> None:
    assert files().start(branch, number) == f"results/r/{folder}/model.safetensors"


def test_a_round_of_iterated_sft_learns_from_samples_of_the_policy_before() -> None:
    here = files(rl={"a": {"rounds": 2}, "b": {"algorithm": "sft", "rounds": 3, "start": "sft"}})
    assert [here.teacher("b", number) for number in (1, 2, 3)] == [
        "sft", "rl-b-round-1", "rl-b-round-2",
    ]  # fmt: skip
    assert here.weights("rl-b-round-1") == "results/r/rl-b/round-1/model.safetensors"
    assert here.start("b", 2) == here.weights("rl-b-round-1")
    assert list(here.intermediate) == ["rl-b-round-1", "rl-b-round-2"]
    assert here.policies == ["base", "sft", "rl-a", "rl-b"]
    with pytest.raises(ValueError, match="unknown policy 'rl-a-round-1'"):
        here.weights("rl-a-round-1")
    again = files(rl={"b": {"algorithm": "sft", "rounds": 3, "sft": {"weights": "start"}}})
    assert again.start("b", 3) == again.weights("base")


def test_branches_by_algorithm() -> None:
    here = files(rl={"a": {}, "b.c": {"algorithm": "sft"}, "d": {"algorithm": "dpo"}})
    assert here.branches("ppo", "dpo") == "a|d"
    assert re.fullmatch(here.branches("sft"), "b.c")
    assert not re.fullmatch(files(rl={"a": {}}).branches("sft"), "")


def test_shards_on_a_command_line_are_the_shards_of_the_rules() -> None:
    here = files()
    paths = here.shards("relax", "sft", 150)
    assert paths[2] == "results/r/relax/sft/shard-0002.parquet"
    assert [str(path) for path in layout.shards(here.shard_count("relax", "sft", 150))] == paths
    records = here.shards("relax", "sft", 150, "provenance.json")
    count = here.shard_count("relax", "sft", 150)
    assert [str(path) for path in layout.provenance_of_shards(count)] == records


@pytest.mark.parametrize(("count", "shards"), [(None, 2), (1, 1), (50, 1), (51, 2), (1000, 2)])
def test_the_judge_sees_whole_shards(count: int | None, shards: int) -> None:
    here = files(judge={"potential": "sevennet", "count": count})
    assert here.evaluated_counts("judge/relax") == {
        policy: f"results/r/judge/relax/{policy}:{shards}" for policy in here.policies
    }
    assert len(here.evaluated("judge/relax")) == shards * len(here.policies)


def test_without_a_judge_and_a_comparison_hull() -> None:
    alone = files(judge={"potential": None}, comparison_hull={"files": []})
    assert alone.evaluated("judge/relax") == alone.other_hulls("hull.parquet") == []
    assert alone.judged("sft", 0) == alone.other_hull_arguments("sft", 0) == []


def test_other_hulls() -> None:
    here = files(comparison_hull={"files": ["a.csv"]}, judge={"count": 50}, rl={})
    comparison = "results/r/comparison/hull"
    assert here.other_hulls("hull.parquet", "elements.json") == [
        f"{comparison}/hull.parquet",
        f"{comparison}/elements.json",
        "results/r/judge/hull/hull.parquet",
        "results/r/judge/hull/elements.json",
    ]
    assert here.other_hull_arguments("sft", 0) == [
        *("--comparison-hull", comparison),
        *("--judge-hull", "results/r/judge/hull"),
        *("--judged", "results/r/judge/relax/sft/shard-0000.parquet"),
    ]


def test_energies_are_computed_for_hulls_of_the_dataset() -> None:
    here = files(hull={"shards": 2})
    assert here.energies("energies") == [
        "results/r/energies/shard-0000.parquet",
        "results/r/energies/shard-0001.parquet",
    ]
    (count,) = here.energies_count("judge/energies")
    assert list(map(str, layout.shards(count))) == here.energies("judge/energies")
    (count,) = here.energies_count("energies")
    records = here.energies("energies", "provenance.json")
    assert list(map(str, layout.provenance_of_shards(count))) == records
    assert here.cache("judge/energies") == "results/r/cache/judge/energies"

    from_files = {"reference": "csv", "files": ["a.csv"], "shards": 3}
    other = files(hull=from_files)
    assert other.energies("energies") == other.energies_count("energies") == []
    assert len(other.energies("judge/energies")) == 3
    assert files(judge={"potential": None}).energies("judge/energies") == []


def test_a_shard_that_the_judge_does_not_see_needs_nothing_of_it() -> None:
    here = files(comparison_hull={"files": ["a.csv"]}, judge={"count": 50})
    comparison = "results/r/comparison/hull"
    assert here.judged("sft", 1) == []
    assert here.other_hulls("hull.parquet", number=1) == [f"{comparison}/hull.parquet"]
    assert here.other_hull_arguments("sft", 1) == ["--comparison-hull", comparison]


def test_checkpoints_are_outside_the_results_of_a_job() -> None:
    assert files().checkpoints("rl-a/round-1") == "results/r/checkpoints/rl-a/round-1"
    assert files().journal("relax/base/shard-0000") == (
        "results/r/checkpoints/relax/base/shard-0000.journal"
    )


@pytest.mark.parametrize("text", ["folder", "folder:", ":1", "folder:0", "folder:-1"])
def test_shards_must_be_a_folder_and_a_count(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be FOLDER:COUNT"):
        layout.shards(text)


def test_shards_of_a_policy() -> None:
    (policy, path), *rest = layout.shards_by_policy("sft=a/b:2")
    assert (policy, str(path), len(rest)) == ("sft", "a/b/shard-0000.parquet", 1)
    with pytest.raises(argparse.ArgumentTypeError, match="must be POLICY=FOLDER:COUNT"):
        layout.shards_by_policy("a/b:2")
