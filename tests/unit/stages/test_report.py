"""The report stage: files in, files out."""

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers import synthetic
from helpers.cli import parse

from crystalformer_rl.config import Config, canonical
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.files import write_json, write_table
from crystalformer_rl.stages import report


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Command line of a report on a run of two policies."""
    run = tmp_path / "results"
    table = synthetic.structures({"base": 8, "rl-ehull": 8})
    write_table(run / "evaluate/structures.parquet", table)
    write_json(run / "evaluate/summary.json", summarise(table))
    write_table(run / "pretrain/history.parquet", synthetic.losses())
    for number in (1, 2):
        folder = run / f"rl-ehull/round-{number}"
        write_table(folder / "history.parquet", synthetic.round_history(number))
        write_table(folder / "crystals.parquet", synthetic.rl_crystals(table, steps=number))
        write_json(folder / "provenance.json", synthetic.record("rl", items=64))
    shard = run / "sample/base/shard-0000.provenance.json"
    write_json(shard, synthetic.record("sample", items=8))
    rounds = [run / f"rl-ehull/round-{number}" for number in (1, 2)]
    return [
        "--settings", canonical(Config().report), "--config", canonical(Config()),
        "--evaluation", str(run / "evaluate"),
        "--histories", f"base={run / 'pretrain/history.parquet'}",
        *(f"rl-ehull={folder / 'history.parquet'}" for folder in rounds),
        "--crystals", *(f"rl-ehull={folder / 'crystals.parquet'}" for folder in rounds),
        "--provenance", *(str(folder / "provenance.json") for folder in rounds),
        "--shards", f"{shard.parent}:1",
        "--out", str(run / "report"),
    ]  # fmt: skip


def _run(arguments: list[str]) -> Path:
    args = parse(report, arguments)
    report.run(args)
    return args.out


def test_stage_writes_everything_and_a_second_run_the_same(arguments: list[str]) -> None:
    out = _run(arguments)
    html = (out / "index.html").read_text(encoding="utf-8")
    for label in ("sample/base", "rl-ehull/round-1", "rl-ehull/round-2"):
        assert f'<th scope="row">{label}</th>' in html
    assert (out / "figures/rl-overview.svg").is_file()
    history = (out / "tables/history-rl-ehull.csv").read_text(encoding="utf-8")
    assert len(history.splitlines()) == 1 + 24
    found = (out / "tables/discovery.csv").read_text(encoding="utf-8")
    assert [line.split(",")[2] for line in found.splitlines()] == ["sampled", "20", "30"]
    first = _contents(out)
    assert {path.suffix for path in first} == {".svg", ".pdf", ".csv", ".tex"}
    record = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    assert len(record["inputs"]["histories"]) == 3
    stale = out / "figures/details-rl-gone.svg"
    stale.write_text("<svg/>", encoding="utf-8")
    assert (_run(arguments) / "index.html").read_text(encoding="utf-8") == html
    assert not stale.exists()
    assert _contents(out) == first


def _contents(out: Path) -> dict[Path, bytes]:
    """The files of the folders of figures and tables."""
    return {path: path.read_bytes() for path in sorted(out.glob("*/*"))}


def test_tables_are_latex_with_booktabs() -> None:
    table = pd.DataFrame({"a_b": ["50 %", None], "x": [0.123456, float("nan")]})
    lines = report.latex(table).splitlines()
    assert lines[0] == "% needs \\usepackage{booktabs}"
    assert lines[2] == r"\toprule"
    assert lines[3] == r"a\_b & x \\"
    assert lines[5] == r"50 \% & 0.1235 \\"


def test_histories_must_be_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _run([*arguments, "--histories", "history.parquet"])
    assert "must be POLICY=FILE" in capsys.readouterr().err


def test_one_provenance_file_is_enough(arguments: list[str]) -> None:
    start = arguments.index("--provenance")
    out = _run([*arguments[: start + 2], *arguments[-2:]])
    assert "Provenance" in (out / "index.html").read_text(encoding="utf-8")
