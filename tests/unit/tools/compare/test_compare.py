"""Runs side by side: what differs, and by how much."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cli import run_verb
from scipy import stats

from crystalformer_rl.config import read
from crystalformer_rl.evaluation.intervals import difference_of_fractions, fraction
from crystalformer_rl.files import write_json
from crystalformer_rl.layout import Layout, write_settings
from crystalformer_rl.tools.compare import command, runs

N = 200


def write_run(name: str, *, seed: int, tau: float = 0.05, base: int = 40, rl: int = 80) -> None:
    """A run whose policies have these many stable crystals of N, by both potentials."""
    raw = {"run": name, "seed": seed, "rl": {"a": {"tau": tau}}}
    folder = Path("results") / name
    write_settings(folder, Layout(read(raw)))
    policies = {
        policy: {
            "fractions": {one: fraction(count, N) for one in runs.FRACTIONS},
            "judge": {"fractions": {one: fraction(count, N) for one in runs.OF_THE_JUDGE}},
        }
        for policy, count in (("base", base), ("rl-a", rl))
    }
    write_json(folder / "evaluate/summary.json", {"policies": policies})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_only_what_differs_is_listed() -> None:
    write_run("one", seed=0)
    write_run("two", seed=1, tau=0.1)
    table = runs.settings_that_differ([runs.load("one"), runs.load("results/two")])
    assert table["key"].tolist() == ["rl.a.tau", "seed"]
    assert table["one"].tolist() == [0.05, 0]
    assert table["two"].tolist() == [0.1, 1]


def test_differences_are_of_the_same_policy_and_have_newcombes_interval() -> None:
    write_run("one", seed=0, rl=80)
    write_run("two", seed=0, rl=110)
    table = runs.differences([runs.load("one"), runs.load("two")])
    row = table[(table["policy"] == "rl-a") & (table["quantity"] == "stable")].iloc[0]
    expected = difference_of_fractions((110, N), (80, N))
    assert (row["difference"], row["low"], row["high"]) == (
        expected.estimate, expected.low, expected.high,
    )  # fmt: skip
    assert table["policy"].unique().tolist() == ["base", "rl-a"]
    of_base = table[table["policy"] == "base"]
    assert (of_base["difference"] == 0).all()
    assert of_base["quantity"].tolist() == [*runs.FRACTIONS, *runs.OF_THE_JUDGE]


def test_gains_are_paired_within_the_runs() -> None:
    """The gains of scipy's paired test, not those of independent samples."""
    bases, others = [40, 60, 20], [82, 100, 64]
    for seed, (base, rl) in enumerate(zip(bases, others, strict=True)):
        write_run(f"seed-{seed}", seed=seed, base=base, rl=rl)
    table = runs.paired([runs.load(f"seed-{seed}") for seed in range(3)])
    row = table[table["quantity"] == "sun_supported"].iloc[0]
    test = stats.ttest_rel(np.array(others) / N, np.array(bases) / N).confidence_interval(0.95)
    np.testing.assert_allclose([row["low"], row["high"]], [test.low, test.high])
    assert (row["policy"], row["runs"]) == ("rl-a", 3)


def test_a_policy_of_one_run_only_is_shown_and_not_subtracted() -> None:
    write_run("one", seed=0)
    write_run("two", seed=1)
    summary = {"policies": {"base": {"fractions": {n: fraction(1, 2) for n in runs.FRACTIONS}}}}
    write_json(Path("results/two/evaluate/summary.json"), summary)
    both = [runs.load("one"), runs.load("two")]
    assert set(runs.fractions(both)["policy"]) == {"base", "rl-a"}
    assert set(runs.differences(both)["policy"]) == {"base"}
    assert runs.paired(both).empty


def test_the_page_has_every_table(caplog: pytest.LogCaptureFixture) -> None:
    write_run("one", seed=0)
    write_run("two", seed=1, rl=90)
    with caplog.at_level("INFO"):
        run_verb(command, ["one", "two", "--out", "page"])
    page = Path("page/index.html").read_text()
    for words in ("Settings that differ", "Differences to one", "90/200", "rl-a"):
        assert words in page
    # A row per quantity and policy in one table, and per difference in two others.
    assert page.count("by the judge") == 4 * (2 + 2 + 1)
    names = {path.name for path in Path("page").glob("*.csv")}
    assert names == {"settings.csv", "fractions.csv", "differences.csv", "gains.csv"}
    assert len(pd.read_csv("page/fractions.csv")) == 2 * 2 * 12
    assert "rl-a, stable" in caplog.text
    before = Path("page/index.html").read_bytes()
    run_verb(command, ["one", "two", "--out", "page"])
    assert Path("page/index.html").read_bytes() == before


def test_mistakes_are_sentences_with_the_next_step() -> None:
    write_run("one", seed=0)
    with pytest.raises(FileNotFoundError, match="two: no such run or folder; results/ has one"):
        run_verb(command, ["one", "two"])
    write_settings(Path("results/young"), Layout(read({"run": "young"})))
    with pytest.raises(FileNotFoundError, match=r"evaluated yet \(crystalformer-rl status young"):
        run_verb(command, ["one", "young"])
    with pytest.raises(ValueError, match="give two or more runs, each once"):
        run_verb(command, ["one", "one"])
    with pytest.raises(ValueError, match="must have different names"):
        run_verb(command, ["one", "results/one"])
