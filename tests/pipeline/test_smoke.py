"""Every stage for real, at the size of config/smoke.yaml."""

import html.parser
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers.copies import REPOSITORY, Copy, copy_repository

from crystalformer_rl.files import read_json, read_table

# One worker runs the pipeline, and every test here looks at that run.
pytestmark = pytest.mark.slow

SMOKE = ("--configfile", "config/smoke.yaml")
POLICIES = ["base", "sft", "rl-ehull", "rl-fom"]
SETTINGS = yaml.safe_load((REPOSITORY / "config/smoke.yaml").read_text())
PER_POLICY = SETTINGS["sample"]["count"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of the repository in which the pipeline has run."""
    copy = copy_repository(tmp_path_factory.mktemp("pipeline") / "clone")
    assert "Done. The report: results/smoke/report/index.html" in copy.snakemake(*SMOKE)
    return copy


@pytest.fixture(scope="module")
def results(clone: Copy) -> Path:
    return clone.folder / "results/smoke"


def test_every_structure_has_its_row(results: Path) -> None:
    table = read_table(results / "evaluate/structures.parquet")
    assert table["id"].is_unique
    assert table["policy"].value_counts().to_dict() == dict.fromkeys(POLICIES, PER_POLICY)
    sampled = pd.concat(
        read_table(path) for path in sorted((results / "sample").rglob("*.parquet"))
    )
    assert set(table["id"]) <= set(sampled["id"])
    flags = ["decoded", "valid", "relaxed", "stable", "unique", "novel", "sun"]
    assert set(flags) <= set(table.columns)
    assert table["relaxed"].any()
    # The judge saw the first of each policy, and never a reward.
    seen = table[table["judge_status"].notna()]
    assert set(seen["judge_potential"]) == {"sevennet"}
    assert set(table["potential"]) == {"chgnet"}
    assert seen["policy"].value_counts().to_dict() == dict.fromkeys(
        POLICIES, SETTINGS["judge"]["count"]
    )
    assert seen["judge_e_above_hull"].notna().any()


def test_the_page_is_whole_and_needs_no_network(results: Path) -> None:
    class Links(html.parser.HTMLParser):
        found: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            fetched = {"src", "data"} | ({"href"} if tag == "link" else set())
            self.found += [value or "" for name, value in attrs if name in fetched]

    page = (results / "report/index.html").read_text()
    parser = Links()
    parser.feed(page)
    assert page.rstrip().endswith("</html>")
    assert [link for link in parser.found if not link.startswith("data:")] == []
    for policy in POLICIES:
        assert policy in page


def test_every_stage_says_where_its_results_come_from(results: Path) -> None:
    records = [read_json(path) for path in results.rglob("*provenance.json")]
    assert {record["stage"] for record in records} == {
        "dataset", "hull", "tokenize", "pretrain", "sft", "rl", "sample", "relax", "evaluate",
        "report",
    }  # fmt: skip
    assert all(record["wall_s"] >= 0 and record["code"] for record in records)


def test_logs_lie_where_the_docs_say_and_nothing_is_half_written(clone: Copy) -> None:
    logs = clone.folder / "logs/smoke"
    for name in ("pretrain", "rl-ehull/round-2", "sample/sft/shard-0001", "relax/base/shard-0000"):
        assert (logs / f"{name}.log").stat().st_size > 0
    assert list(clone.folder.rglob("*.part")) == []


def test_a_second_call_has_nothing_to_do(clone: Copy) -> None:
    assert "Nothing to be done" in clone.snakemake(*SMOKE)


def test_raising_the_rounds_plans_only_the_new_round(clone: Copy) -> None:
    planned = clone.planned(*SMOKE, "--config", "rl={ehull: {rounds: 3}}")
    assert {job for job in planned if job.startswith("RL fine-tuning")} == {
        "RL fine-tuning ehull, round 3"
    }
    assert not any(" base" in job or " sft" in job for job in planned)


def test_the_snakemake_report(clone: Copy) -> None:
    clone.snakemake(*SMOKE, "--report", "report.zip")
    with zipfile.ZipFile(clone.folder / "report.zip") as archive:
        names = archive.namelist()
    for end in ("report.html", "index.html", "structures.parquet", "summary.json", ".svg", ".csv"):
        assert any(name.endswith(end) for name in names), end


def test_the_same_seed_gives_the_same_structures_on_one_core(clone: Copy, tmp_path: Path) -> None:
    """Another folder, another number of cores and so another order of jobs."""
    other = copy_repository(tmp_path / "clone")
    table = "results/smoke/evaluate/structures.parquet"
    other.snakemake(*SMOKE, "--cores", "1", table)
    pd.testing.assert_frame_equal(
        read_table(other.folder / table), read_table(clone.folder / table), check_exact=True
    )
    for policy in ("pretrain", "sft", "rl-ehull/round-2", "rl-fom/round-1"):
        weights = f"results/smoke/{policy}/model.safetensors"
        assert (other.folder / weights).read_bytes() == (clone.folder / weights).read_bytes()
