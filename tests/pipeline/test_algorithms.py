"""Branches of every algorithm, one with a combined reward, at the size of config/smoke.yaml."""

from pathlib import Path

import pytest
import yaml
from helpers.copies import Copy, copy_repository

from crystalformer_rl.files import read_json, read_table

pytestmark = pytest.mark.slow

WORDS = ("--configfile", "config/smoke.yaml", "algorithms.yaml")
SETTINGS = {
    "judge": {"potential": None},
    "rl": {
        "ehull": None,
        "fom": None,
        "pairs": {
            "algorithm": "dpo",
            "rounds": 2,
            "steps": 1,
            "batch_size": 6,
            "dpo": {"epochs": 2, "margin": 0.0},
        },
        "novel": {
            "rounds": 1,
            "steps": 1,
            "batch_size": 6,
            "reward": {
                "kind": "combine",
                "how": "product",
                "parts": {
                    "stable": {"reward": {"kind": "ehull"}},
                    "novel": {"reward": {"kind": "novelty"}},
                },
            },
        },
        "expert": {
            "algorithm": "sft",
            "rounds": 2,
            "sft": {
                "epochs": 2,
                "batch_size": 4,
                "samples": 6,
                "max_e_above_hull": 1000.0,
                "unique": True,
            },
        },
    },
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of the repository in which the branches have run."""
    copy = copy_repository(tmp_path_factory.mktemp("algorithms") / "clone")
    (copy.folder / "algorithms.yaml").write_text(yaml.safe_dump(SETTINGS))
    copy.snakemake(*WORDS)
    return copy


@pytest.fixture(scope="module")
def results(clone: Copy) -> Path:
    return clone.folder / "results/smoke"


def test_policies_of_both_are_evaluated_and_those_between_rounds_are_not(results: Path) -> None:
    table = read_table(results / "evaluate/structures.parquet")
    assert set(table["policy"]) == {"base", "sft", "rl-pairs", "rl-novel", "rl-expert"}
    assert (results / "relax/rl-expert-round-1/shard-0000.parquet").is_file()


def test_histories_and_their_figures(results: Path) -> None:
    pairs = read_table(results / "rl-pairs/round-2/history.parquet")
    assert pairs["step"].tolist() == [2]
    assert {"dpo_loss", "pair_accuracy", "paired_fraction", "reward_mean", "kl"} <= {*pairs}
    expert = read_table(results / "rl-expert/round-2/history.parquet")
    assert expert["round"].tolist() == [2, 2, 2]
    assert expert["kept_fraction"].between(0, 1).all()
    novel = read_table(results / "rl-novel/round-1/history.parquet")
    assert {"stable_reward_mean", "novel_reward_mean", "novel_formula_mean"} <= {*novel}
    figures = {path.name for path in (results / "report/figures").iterdir()}
    assert {f"details-rl-{name}.svg" for name in ("pairs", "novel", "expert")} <= figures
    assert "rl-overview.svg" in figures


def test_the_second_round_learned_from_samples_of_the_first(results: Path) -> None:
    inputs = read_json(results / "rl-expert/round-2/provenance.json")["inputs"]
    assert inputs["policy"][0]["path"].startswith("results/smoke/rl-expert/round-1/")
    assert [one["path"] for one in inputs["relaxed"]] == [
        "results/smoke/relax/rl-expert-round-1/shard-0000.parquet"
    ]


def test_a_second_call_has_nothing_to_do(clone: Copy) -> None:
    assert "Nothing to be done" in clone.snakemake(*WORDS)
