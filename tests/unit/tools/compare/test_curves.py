"""The curves of training of several runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import synthetic
from helpers.cli import run_verb

from crystalformer_rl.config import read
from crystalformer_rl.files import read_json, write_json
from crystalformer_rl.layout import SETTINGS, Layout, write_settings
from crystalformer_rl.tools.compare import command, curves
from crystalformer_rl.tools.compare.runs import load


def write_run(name: str, *, seed: int, tau: float = 0.05, steps: int = 12) -> None:
    """A run of the policies base and rl-a, this one in two rounds; its KL is its seed."""
    raw = {"run": name, "seed": seed, "rl": {"a": {"tau": tau, "rounds": 2}}}
    folder = Path("results") / name
    write_settings(folder, Layout(read(raw)))
    policies = {policy: {"fractions": {}} for policy in ("base", "rl-a")}
    write_json(folder / "evaluate/summary.json", {"policies": policies})
    histories = {"pretrain": synthetic.losses(epochs=5)} | {
        f"rl-a/round-{number}": synthetic.round_history(number, steps=steps).assign(kl=float(seed))
        for number in (1, 2)
    }
    for training, history in histories.items():
        (folder / training).mkdir(parents=True)
        history.to_parquet(folder / training / "history.parquet")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _seeds() -> list[str]:
    names = ["seed-0", "seed-1", "seed-5"]
    for name in names:
        write_run(name, seed=int(name[-1]))
    return names


def test_runs_that_differ_in_the_seed_alone_are_one_group() -> None:
    _seeds()
    write_run("other", seed=0, tau=0.1)
    names = ("seed-0", "other", "seed-5")
    groups = curves.repeated([load(name) for name in names])
    assert [[run.name for run in group] for group in groups] == [["seed-0", "seed-5"], ["other"]]


def test_the_band_goes_from_the_lowest_to_the_highest_seed() -> None:
    groups = curves.repeated([load(name) for name in _seeds()])
    found = curves.course("rl-a", groups)
    axis = curves.draw({"kl": found["kl"]}).axes[0]
    (band,) = axis.collections
    assert set(band.get_paths()[0].vertices[:, 1]) == {0, 5}
    mean = axis.lines[-1]
    assert mean.get_label() == "mean of seed-0, seed-1, seed-5"
    np.testing.assert_allclose(mean.get_ydata(), 2)
    assert list(mean.get_xdata()) == list(range(1, 25))
    assert [line.get_label() for line in axis.lines[:-1]] == ["_seed-0", "_seed-1", "_seed-5"]


def test_runs_that_differ_in_more_are_a_line_each() -> None:
    write_run("one", seed=0)
    write_run("two", seed=0, tau=0.1)
    found = curves.course("rl-a", curves.repeated([load("one"), load("two")]))
    axis = curves.draw(found).axes[0]
    assert [line.get_label() for line in axis.lines] == ["one", "two"]
    assert len({line.get_color() for line in axis.lines}) == 2
    assert not axis.collections


def test_the_mean_is_over_the_steps_that_all_runs_have() -> None:
    write_run("long", seed=0, steps=20)
    write_run("short", seed=1, steps=10)
    found = curves.course("rl-a", curves.repeated([load("long"), load("short")]))
    assert list(found["kl"][0].index) == list(range(1, 21))


def test_the_page_draws_them_and_the_numbers_are_beside_it() -> None:
    run_verb(command, [*_seeds(), "--out", "page"])
    page = Path("page/index.html").read_text()
    assert 'id="figure-curves-rl-a"' in page
    assert 'id="figure-curves-base"' in page
    assert '"name":"seed-1"' in page
    assert "new CurveFigure" in page
    assert Path("page/curves-rl-a.pdf").read_bytes().startswith(b"%PDF")
    table = pd.read_csv("page/curves.csv")
    rows = table[(table["policy"] == "rl-a") & (table["quantity"] == "kl")]
    assert len(rows) == 24
    assert (rows[["mean", "lowest", "highest"]] == [2, 0, 5]).all(axis=None)
    assert set(rows["runs"]) == {"seed-0 seed-1 seed-5"}


def test_settings_of_another_version_leave_the_curves_out_and_say_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_run("one", seed=0)
    settings = Path("results/one") / SETTINGS
    saved = read_json(settings)
    write_json(settings, saved | {"config": saved["config"] | {"gone": 1}})
    assert load("one").histories == {}
    assert "its curves are left out, because its settings are not of this version" in caplog.text


def test_runs_without_histories_have_no_section() -> None:
    for name in _seeds():
        for path in Path("results", name).rglob("history.parquet"):
            path.unlink()
    assert curves.section([load("seed-0"), load("seed-1")]) is None
