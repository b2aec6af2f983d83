"""Crystals of another generator become shards like those of ``sample``, bad rows included."""

import zipfile
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
from helpers.cli import run_verb
from helpers.crystals import rock_salt
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.crystal.token_table import tokens_of
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.crystal.writers import crystal_table
from crystalformer_rl.files import read_json, read_table
from crystalformer_rl.stages import external

FRAME = """2
Lattice="3.4 0 0 0 3.4 0 0 0 3.4" Properties=species:S:1:pos:R:3 id={}
{} 0 0 0
Cl 1.7 1.7 1.7
"""


def run(source: Path, out: Path, *, count: int = 4, shard_size: int = 2) -> pd.DataFrame:
    words = {"count": count, "shard-size": shard_size, "symprec": 0.01, "merge-below": 0.1}
    options = [f"--{name}={value}" for name, value in words.items()]
    run_verb(external, [f"--source={source}", *options, f"--out={out}"])
    shards = sorted(out.glob("*.parquet"))
    assert [path.name for path in shards] == [f"shard-{i:04d}.parquet" for i in range(len(shards))]
    return pd.concat([read_table(path) for path in shards], ignore_index=True)


def test_a_crystal_has_the_tokens_of_its_symmetry_and_a_primitive_cell(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.extxyz", AseAtomsAdaptor.get_atoms(rock_salt()), format="extxyz")
    table = run(tmp_path / "a.extxyz", tmp_path / "out", count=1)
    sampled = crystal_table(
        CrystalTokens([225], [[1, 2]], [[11, 17]], np.zeros((1, 2, 3)), np.ones((1, 6))),
        np.zeros(1),
        prefix="base",
    )
    assert list(table.columns) == list(sampled.columns)
    assert table["id"].tolist() == ["a-000000"]
    tokens = tokens_of(table)
    assert (tokens.space_group[0], tokens.wyckoff.tolist()) == (225, [[1, 2]])
    (structure,) = structures_of(table)
    assert structure is not None
    assert len(structure) == 2
    assert structure.volume == pytest.approx(5.64**3 / 4)
    assert table["log_prob"].isna().all()
    assert table["decode_error"].isna().all()


def test_the_id_of_a_repeated_row_is_that_of_no_other(tmp_path: Path) -> None:
    source = tmp_path / "a.extxyz"
    source.write_text("".join(FRAME.format(name, "Cs") for name in ("a", "a", "a#1", "a#1")))
    table = run(source, tmp_path / "out", count=4)
    assert table["id"].tolist() == ["a", "a#1#", "a#1", "a#1#3"]
    assert table["decode_error"].notna().tolist() == [False, True, False, True]


def test_rows_that_cannot_be_read_stay_with_a_reason(tmp_path: Path) -> None:
    frames = [FRAME.format("a", "Cs"), FRAME.format("a", "K"), FRAME.format("b", "Xx")]
    no_cell = FRAME.format("c", "Cs").replace('Lattice="3.4 0 0 0 3.4 0 0 0 3.4"', "energy=-3.4")
    source = tmp_path / "bad.extxyz"
    source.write_text("".join([*frames, no_cell, FRAME.format("d", "Cs"), FRAME.format("e", "Cs")]))
    table = run(source, tmp_path / "out", count=5)
    assert table["id"].tolist() == ["a", "a#1", "b", "c", "d"]
    errors = [error if pd.notna(error) else None for error in table["decode_error"]]
    assert errors[0] is errors[4] is None
    assert errors[1] == "repeated_id: a crystal before has the id a"
    assert errors[2] == "unreadable: unknown element 'Xx'"
    assert errors[3] == "unreadable: the frame has no Lattice"
    assert [one is not None for one in structures_of(table)] == [True, False, False, False, True]
    assert table["space_group"].isna().tolist() == [False, True, True, True, False]
    record = read_json(tmp_path / "out/shard-0001.provenance.json")
    assert record["counts"] | {"in_source": 6, "items": 2, "unread": 2} == record["counts"]


def test_a_short_source_leaves_shards_empty(tmp_path: Path) -> None:
    source = tmp_path / "one.extxyz"
    source.write_text(FRAME.format("a", "Cs"))
    table = run(source, tmp_path / "out", count=6)
    assert table["id"].tolist() == ["a"]
    assert len(read_table(tmp_path / "out/shard-0002.parquet")) == 0


def test_a_crystal_without_tokens_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = external.Rejection("no_match", "another structure")
    monkeypatch.setattr(external, "tokenize", lambda *_, **__: rejected)
    source = tmp_path / "one.extxyz"
    source.write_text(FRAME.format("a", "Cs"))
    table = run(source, tmp_path / "out", count=1)
    assert table["wyckoff"].tolist() == [None]
    assert structures_of(table) != [None]
    assert table["decode_error"].isna().all()


def test_mattergens_archive(tmp_path: Path) -> None:
    # As mattergen/common/utils/eval_utils.py writes it: ASE's CIFs, gen_0.cif and so on.
    crystals = [rock_salt(), rock_salt("K", "Br", 6.6)]
    with zipfile.ZipFile(tmp_path / "generated_crystals_cif.zip", "w") as archive:
        for place, crystal in enumerate(crystals):
            ase.io.write(tmp_path / "one.cif", AseAtomsAdaptor.get_atoms(crystal), format="cif")
            archive.writestr(f"gen_{place}.cif", (tmp_path / "one.cif").read_text())
        archive.writestr("__MACOSX/._gen_0.cif", "no crystal")
    table = run(tmp_path / "generated_crystals_cif.zip", tmp_path / "out")
    assert table["id"].tolist() == ["gen_0", "gen_1"]
    found = [one.reduced_formula for one in structures_of(table) if one is not None]
    assert found == ["NaCl", "KBr"]


@pytest.mark.parametrize("column", ["structure", "LeMatStructs", "cif_string"])
def test_lemat_tables(column: str, tmp_path: Path) -> None:
    salt = rock_salt()
    text = str(CifWriter(salt)) if column == "cif_string" else salt.to_json()
    alloy = Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]]).to_json()
    rows = {column: [text, alloy, '{"lattice": 3}', ""], "energy": [-3.4, -3.0, -2.0, -1.0]}
    pd.DataFrame(rows).to_csv(tmp_path / "le.csv")
    table = run(tmp_path / "le.csv", tmp_path / "out")
    assert table["id"].tolist() == [f"le-00000{i}" for i in range(4)]
    reasons = [None if pd.isna(e) else e.partition(":")[0] for e in table["decode_error"]]
    assert reasons == [None, "disordered", "unreadable", "unreadable"]
    assert table["space_group"].tolist()[0] == 225


def test_a_source_without_a_crystal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("id,cif\n")
    with pytest.raises(ValueError, match=r"empty\.csv: there is no crystal in it"):
        run(tmp_path / "empty.csv", tmp_path / "out")


def test_a_source_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.cif").touch()
    wanted = r"empty\.cif: none of its crystals can be read; empty: the CIF is empty"
    with pytest.raises(ValueError, match=wanted):
        run(tmp_path / "empty.cif", tmp_path / "out")


def test_the_log_says_what_was_not_read_and_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    rock_salt().to(str(folder / "a.cif"))
    for name in ("b.cif", "c.cif", "POSCAR", ".hidden"):
        (folder / name).touch()
    with caplog.at_level("INFO"):
        run(folder, tmp_path / "out")
    assert f"{folder}: 3 of 3 crystals" in caplog.messages
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warned == [
        f"{folder}: not read, because they are not CIFs: [POSCAR]",
        f"{folder}: not read: 2 unreadable",
        "b: unreadable: the CIF is empty",
    ]
