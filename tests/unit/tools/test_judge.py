"""Crystals of a file are judged without a workflow."""

from pathlib import Path

import pytest
from helpers.cli import run_verb
from helpers.references import write_reference

from crystalformer_rl.files import read_json, read_table, write_table
from crystalformer_rl.stages.external import write_shards
from crystalformer_rl.tools import judge
from crystalformer_rl.tools.judge import Place

FRAME = """2
Lattice="{a} 0 0 0 {a} 0 0 0 {a}" Properties=species:S:1:pos:R:3 id={name}
{first} 0 0 0
{second} {b} {b} {b}
"""


def frame(name: str, first: str, second: str, a: float) -> str:
    return FRAME.format(name=name, first=first, second=second, a=a, b=a / 2)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/generated_crystals.extxyz", "generated_crystals"),
        ("a b/crystals of DiffCSP.csv.gz", "crystals-of-DiffCSP"),
        ("base.extxyz", "external-base"),
        ("rl-new.zip", "external-rl-new"),
        ("±.cif", "external"),
    ],
)
def test_the_name_of_the_file_becomes_that_of_a_policy(path: str, name: str) -> None:
    assert judge.default_name(Path(path)) == name
    config = judge.settings(Path("x"), name, Path("reference"), quick=True)
    assert list(config.external) == [name]
    assert (config.relax.max_steps, config.judge.max_steps) == (0, 0)
    assert config.comparison_hull.files == []


def test_known_crystals_are_those_of_the_elements_of_a_crystal(tmp_path: Path) -> None:
    reference, place = write_reference(tmp_path), Place(tmp_path / "out", "theirs")
    source = tmp_path / "theirs.extxyz"
    source.write_text(frame("a", "Na", "Cl", 3.5) + frame("b", "K", "O", 4.0))
    write_shards(source, place.shard("sample", 0).parent, count=None, shard_size=1,
                 symprec=0.01, merge_below=0.1)  # fmt: skip
    judge.write_known(reference / "crystals.parquet", place, 2)
    known = read_table(place.known)
    assert known["id"].tolist() == ["NaCl"]
    assert known["num_atoms"].tolist() == [2]
    assert known["energy_per_atom:chgnet"].tolist() == [-3.67]
    source.write_text(frame("c", "Rb", "F", 3.5))
    write_shards(source, place.shard("sample", 0).parent, count=None, shard_size=1,
                 symprec=0.01, merge_below=0.1)  # fmt: skip
    with pytest.raises(ValueError, match="no crystal with only the elements"):
        judge.write_known(reference / "crystals.parquet", place, 1)


@pytest.mark.slow
def test_a_page_without_a_workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every kind of bad row: each is a row with a reason, and in every denominator."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    reference, out = write_reference(tmp_path), tmp_path / "page"
    source = tmp_path / "theirs.extxyz"
    no_cell = "1\nProperties=species:S:1:pos:R:3 id=molecule\nNa 0 0 0\n"
    no_crystal = (
        f"0\n{FRAME.format(a=4, b=2, name='energy', first='', second='').splitlines()[1]}\n"
    )
    frames = [frame("a", "Na", "Cl", 3.5), frame("a", "K", "Br", 4.1)]
    source.write_text("".join([*frames, no_cell, no_crystal, frame("cf", "Cf", "Cl", 3.5)]))
    words = [str(source), "--quick", f"--out={out}", f"--reference={reference}", "--processes=1"]
    run_verb(judge, words)
    assert "theirs" in (out / "index.html").read_text()
    table = read_table(out / "evaluate/structures.parquet").set_index("id")
    assert table["decoded"].tolist() == [True, False, False, False, True]
    assert table.loc["a#1", "failure"].startswith("decode: repeated_id")
    assert table.loc[["molecule", "energy"], "failure"].str.startswith("decode: unreadable").all()
    assert table.loc["a", "hull_status"] == table.loc["a", "judge_hull_status"] == "ok"
    assert table.loc["cf", "failure"].startswith("relax: unknown_element")
    assert table.loc["a", "nearest_known_id"] in ("NaCl", "KBr", "MgO")
    summary = read_json(out / "evaluate/summary.json")["policies"]["theirs"]
    assert {one["n"] for one in summary["fractions"].values()} == {5}
    assert summary["judge"]["judged"] == 5
    lines = list(judge.results(Place(out, "theirs")))
    assert any(line.startswith("decoded") and "2 of 5" in line for line in lines)
    # The same command finds the energies in the journals, and the known crystals in the cache.
    before = (out / "evaluate/structures.parquet").read_bytes()
    (kept,) = (tmp_path / "cache/crystalformer-rl/known").glob("*.parquet")
    age = kept.stat().st_mtime_ns
    run_verb(judge, words)
    assert (out / "evaluate/structures.parquet").read_bytes() == before
    assert kept.stat().st_mtime_ns == age
    assert not (out / "known/known.parquet").exists()


def test_what_is_known_is_computed_again_for_another_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = Place(tmp_path / "out", "theirs")
    reference = write_reference(tmp_path) / "crystals.parquet"
    first = judge.describe_known(reference, place, processes=1)
    assert read_table(first, ["id"])["id"].tolist() == read_table(reference, ["id"])["id"].tolist()
    table = read_table(reference)
    write_table(reference, table.iloc[:2])
    second = judge.describe_known(reference, place, processes=1)
    assert second != first
    assert len(read_table(second)) == 2


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    place = Place(tmp_path / "out", "theirs")
    reference = write_reference(tmp_path) / "crystals.parquet"
    assert judge.describe_known(reference, place, processes=1).parent == tmp_path / "out/known"
    assert "cannot be written: the next call computes it again" in caplog.text


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (page := tmp_path / "index.html").write_text("mine")
    (crystals := tmp_path / "theirs.extxyz").write_text(frame("a", "Na", "Cl", 3.5))
    with pytest.raises(ValueError, match="has files of another kind"):
        run_verb(judge, [str(crystals), f"--out={tmp_path}"])
    assert page.read_text() == "mine"
    with pytest.raises(ValueError, match="--processes 0: must be at least 1"):
        run_verb(judge, [str(crystals), f"--out={tmp_path / 'new'}", "--processes=0"])


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "page"
    out.write_text("")
    with pytest.raises(ValueError, match="is a file; name a folder"):
        run_verb(judge, ["crystals.extxyz", f"--out={out}"])
