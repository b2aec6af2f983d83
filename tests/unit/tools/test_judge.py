"""Crystals of a file are judged without a workflow."""

from pathlib import Path

import pytest
from helpers.cli import run_verb
from helpers.references import write_reference

from crystalformer_rl.files import read_json, read_table
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
def test_a_page_without_a_workflow(tmp_path: Path) -> None:
    reference, out = write_reference(tmp_path), tmp_path / "page"
    source = tmp_path / "theirs.extxyz"
    no_cell = "1\nProperties=species:S:1:pos:R:3 id=molecule\nNa 0 0 0\n"
    source.write_text(frame("a", "Na", "Cl", 3.5) + no_cell + frame("cf", "Cf", "Cl", 3.5))
    words = [str(source), "--quick", f"--out={out}", f"--reference={reference}", "--processes=1"]
    run_verb(judge, words)
    assert "theirs" in (out / "index.html").read_text()
    table = read_table(out / "evaluate/structures.parquet").set_index("id")
    assert table["decoded"].tolist() == [True, False, True]
    assert table.loc["a", "hull_status"] == table.loc["a", "judge_hull_status"] == "ok"
    assert table.loc["cf", "failure"].startswith("relax: unknown_element")
    assert table.loc["a", "nearest_known_id"] in ("NaCl", "KBr", "MgO")
    summary = read_json(out / "evaluate/summary.json")["policies"]["theirs"]
    assert summary["fractions"]["sun"]["n"] == 3
    assert summary["judge"]["judged"] == 3
    lines = list(judge.results(Place(out, "theirs")))
    assert any(line.startswith("decoded") and "2 of 3" in line for line in lines)
    # The same command finds the energies in the journals.
    before = (out / "evaluate/structures.parquet").read_bytes()
    run_verb(judge, words)
    assert (out / "evaluate/structures.parquet").read_bytes() == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "page"
    out.write_text("")
    with pytest.raises(ValueError, match="is a file; name a folder"):
        run_verb(judge, ["crystals.extxyz", f"--out={out}"])
