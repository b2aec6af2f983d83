"""Every stage for real, at the size of config/smoke.yaml."""

import html.parser
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers.copies import REPOSITORY, Copy, copy_repository

from crystalformer_rl.files import read_json, read_table
from crystalformer_rl.tools.status.command import status

# One worker runs the pipeline, and every test here looks at that run.
pytestmark = pytest.mark.slow

SMOKE = ("--configfile", "config/smoke.yaml", "external.yaml")
POLICIES = ["base", "sft", "rl-ehull", "rl-fom"]
THEIRS = """2
Lattice="0 2.8 2.8 2.8 0 2.8 2.8 2.8 0" Properties=species:S:1:pos:R:3 id=salt
Na 0 0 0
Cl 2.8 0 0
1
Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 id=salt
Po 0 0 0
0
Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 energy=-3.2 id=energy
1
Properties=species:S:1:pos:R:3 id=molecule
He 0 0 0
1
Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 id=californium
Cf 0 0 0
"""
SETTINGS = yaml.safe_load((REPOSITORY / "config/smoke.yaml").read_text())
PER_POLICY = SETTINGS["sample"]["count"]


def with_theirs(folder: Path) -> Copy:
    """A copy of the repository with crystals of another generator."""
    copy = copy_repository(folder)
    (copy.folder / "external.yaml").write_text("external: {theirs: theirs.extxyz}\n")
    (copy.folder / "theirs.extxyz").write_text(THEIRS)
    return copy


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of the repository in which the pipeline has run."""
    copy = with_theirs(tmp_path_factory.mktemp("pipeline") / "clone")
    assert "Done. The report: results/smoke/report/index.html" in copy.snakemake(*SMOKE)
    return copy


@pytest.fixture(scope="module")
def results(clone: Copy) -> Path:
    return clone.folder / "results/smoke"


def test_every_structure_has_its_row(results: Path) -> None:
    table = read_table(results / "evaluate/structures.parquet")
    assert table["id"].is_unique
    counts = table["policy"].value_counts().to_dict()
    assert counts == dict.fromkeys(POLICIES, PER_POLICY) | {"theirs": 5}
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
    judged = seen["policy"].value_counts().to_dict()
    assert judged == dict.fromkeys(POLICIES, SETTINGS["judge"]["count"]) | {"theirs": 5}
    assert seen["judge_e_above_hull"].notna().any()


def test_crystals_of_another_generator_stand_beside_the_policies(results: Path) -> None:
    table = read_table(results / "evaluate/structures.parquet")
    theirs = table[table["policy"] == "theirs"].set_index("id")
    assert theirs["failure"].fillna("").str.partition(": ")[0].to_dict() == {
        "salt": "",
        "salt#1": "decode",
        "energy": "decode",
        "molecule": "decode",
        "californium": "relax",
    }
    assert theirs["decoded"].tolist() == [True, False, False, False, True]
    assert theirs.loc["salt", "prototype"] == "225 ab"
    summary = read_json(results / "evaluate/summary.json")["policies"]["theirs"]
    assert summary["fractions"]["stable"]["n"] == 5
    names = read_table(results / "relax/theirs/shard-0001.parquet")["id"]
    assert names.tolist() == []
    for figure in ("funnel", "ehull-histograms"):
        drawn = (results / f"report/figures/{figure}.svg").exists()
        assert drawn, figure


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
    for policy in (*POLICIES, "theirs"):
        assert policy in page


def test_every_stage_says_where_its_results_come_from(results: Path) -> None:
    records = [read_json(path) for path in results.rglob("*provenance.json")]
    assert {record["stage"] for record in records} == {
        "dataset", "energies", "hull", "tokenize", "pretrain", "sft", "rl", "sample", "external",
        "relax", "known", "assess", "evaluate", "report",
    }  # fmt: skip
    assert all(record["wall_s"] >= 0 and record["code"] for record in records)


def test_logs_lie_where_the_docs_say_and_nothing_is_half_written(clone: Copy) -> None:
    logs = clone.folder / "logs/smoke"
    for name in ("pretrain", "rl-ehull/round-2", "sample/sft/shard-0001", "relax/base/shard-0000"):
        assert (logs / f"{name}.log").stat().st_size > 0
    assert list(clone.folder.rglob("*.part")) == []


def test_status_finds_every_job_and_its_log(clone: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone.folder)
    found = status("smoke")
    assert found.finished
    assert [str(one.job.log) for one in found.seen if not one.job.log.is_file()] == []


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
    other = with_theirs(tmp_path / "clone")
    table = "results/smoke/evaluate/structures.parquet"
    other.snakemake(*SMOKE, "--cores", "1", table)
    pd.testing.assert_frame_equal(
        read_table(other.folder / table), read_table(clone.folder / table), check_exact=True
    )
    for policy in ("pretrain", "sft", "rl-ehull/round-2", "rl-fom/round-1"):
        weights = f"results/smoke/{policy}/model.safetensors"
        assert (other.folder / weights).read_bytes() == (clone.folder / weights).read_bytes()
