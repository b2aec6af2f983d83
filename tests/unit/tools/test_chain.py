"""The chain stage: a structure in, its relatives out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.crystals import rock_salt
from helpers.policies import TINY
from pymatgen.core import Element, Lattice, Structure

from crystalformer_rl import cli
from crystalformer_rl.files import read_json, read_table
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.stability.reference import Elements, HullRules, write_hull


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    Policy(TINY, seed=1).save(tmp_path / "policy")
    rock_salt(length=5.6).to(str(tmp_path / "salt.cif"))
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.95), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    rutile.to(str(tmp_path / "POSCAR"), fmt="poscar")
    return tmp_path


def ask(folder: Path, *words: str, template: str = "salt.cif") -> pd.DataFrame:
    out = folder / "chains.parquet"
    start = ["--policy", str(folder / "policy"), "--template", str(folder / template)]
    cli.main(["chain", *start, "--steps", "3", "--out", str(out), *words])
    return read_table(out)


def test_element_substitution(folder: Path) -> None:
    table = ask(folder, "--move", "elements", "-n", "8", "--site-elements", "Li,K", "F,Br")
    assert table["id"].tolist() == [f"policy-chain-{i:04d}" for i in range(8)]
    assert set(table["space_group"]) == {225}
    assert [row.tolist() for row in table["wyckoff"]] == [[1, 2]] * 8
    assert {row[0] for row in table["element"]} == {3, 19}
    assert {row[1] for row in table["element"]} == {9, 35}
    np.testing.assert_allclose(np.stack(table["site_positions"]), [[0] * 3 + [0.5] * 3] * 8)
    record = read_json(folder / "chains.provenance.json")
    assert record["stage"] == "chain"
    assert set(record["counts"]) == {"items", "undecodable", "accepted_elements"}
    assert 0 < record["counts"]["accepted_elements"] <= 1


def test_positions_of_a_poscar(folder: Path) -> None:
    table = ask(folder, "--move", "positions", "-n", "6", "--width", "0.02", template="POSCAR")
    assert set(table["space_group"]) == {136}
    assert all(row.tolist() == [22, 8] for row in table["element"])
    x, y, z = np.stack(table["site_positions"])[:, 3:].T
    np.testing.assert_allclose(x, y)
    assert not z.any()
    assert len(set(x)) > 3


def test_a_supercell_is_the_crystal_that_it_repeats(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    supercell = Structure.from_file(str(folder / "POSCAR")).make_supercell([2, 1, 1])
    supercell.to(str(folder / "twice.vasp"), fmt="poscar")
    table = ask(folder, "--move", "positions", "-n", "1", template="twice.vasp")
    assert table["space_group"].tolist() == [136]
    assert "Ti2 O4: space group 136, letters a f" in capsys.readouterr().err


def test_both_and_the_seed(folder: Path) -> None:
    words = ["-n", "4", "--require", "O"]
    tables = [ask(folder, *words, *more, template="POSCAR") for more in ([], [], ["--seed", "1"])]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert tables[0]["log_prob"].tolist() != tables[2]["log_prob"].tolist()
    assert all(8 in row for table in tables for row in table["element"])
    counts = read_json(folder / "chains.provenance.json")["counts"]
    assert {"accepted_elements", "accepted_positions"} <= set(counts)


def test_reward(folder: Path) -> None:
    hull = pd.DataFrame({"formula": ["NaCl"], "formation_energy_per_atom": [-2.0]})
    energies = {Element.from_Z(number).symbol: -3.0 for number in range(1, 119)}
    elements = Elements("chgnet", "mp2020_corrected", energies)
    write_hull(folder / "hull", hull, elements=elements, rules=HullRules())
    words = ["--reward", "ehull", "--hull", str(folder / "hull"), "--tau", "1", "--steps", "1"]
    table = ask(folder, "-n", "2", *words)
    assert np.isfinite(table["reward"]).all()
    undecodable = table["decode_error"].notna()
    assert (table["reward"][undecodable] == 0).all()
    assert "accepted_lattice" in read_json(folder / "chains.provenance.json")["counts"]


def test_a_template_that_cannot_be(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.cif").write_text("data_x\n_cell_length_a 3\n")
    alloy = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    alloy.to(str(folder / "alloy.cif"))
    low = Structure(
        Lattice.from_parameters(5, 6, 7, 80, 95, 100),
        ["H"] * 8,
        np.random.default_rng(0).random((8, 3)),
    )
    low.to(str(folder / "low.cif"))
    for name, message in {
        "none.cif": "none.cif: no such file",
        "broken.cif": "broken.cif: cannot be read as a structure",
        "alloy.cif": "alloy.cif: cannot be read as a structure: site Fe0 is partially occupied",
        "low.cif": "low.cif: cannot be tokenized at symprec 0.01: too many sites (8 sites,",
    }.items():
        assert message in mistake(folder, capsys, template=name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-n 0", "--count must be at least 1, got 0"),
        ("--steps 0", "--steps must be at least 1, got 0"),
        ("--width 0", "width must be 0.0001 to 1, got 0.0"),
        ("--width 1e-200", "width must be 0.0001 to 1, got 1e-200"),
        ("--width inf", "width must be 0.0001 to 1, got inf"),
        ("--temperature inf", "temperature must be 1e-06 to 1e+06, got inf"),
        ("--temperature 1e-40", "temperature must be 1e-06 to 1e+06, got 1e-40"),
        ("--tau nan", "--tau must be 1e-06 to 1e+06, got nan"),
        ("--symprec -1", "--symprec must be above 0 and finite, got -1.0"),
        ("--symprec nan", "--symprec must be above 0 and finite, got nan"),
        ("--symprec inf", "--symprec must be above 0 and finite, got inf"),
        ("--site-elements Na Cl O", "--site-elements has 3 lists, the template 2 sites"),
        ("--name a/b", "--name 'a/b' is used in file names"),
        ("--reward ehull --hull none", "--hull: none/hull.parquet: no such file"),
        ("--elements Zz", "elements.0: unknown element 'Zz'"),
        ("--require Na Cl O", "crystal 0 has 2 sites, but 3 elements are required"),
        ("--reward ehull", "--reward ehull needs --hull"),
        ("--move positions --elements O", "--move positions does not change elements"),
        ("--out a.png", "cannot write .png"),
        ("--policy nowhere", "policy 'nowhere': no folder with model.safetensors"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    assert message in mistake(folder, capsys, *words.split())


def mistake(
    folder: Path, capsys: pytest.CaptureFixture[str], *words: str, template: str = "salt.cif"
) -> str:
    with pytest.raises(SystemExit) as end:
        ask(folder, *words, template=template)
    assert end.value.code == 1
    line: str = capsys.readouterr().err.strip().splitlines()[-1]
    assert "ERROR chain: " in line
    assert not (folder / "chains.parquet").exists()
    return line


def test_the_first_of_several_structures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    salt = (folder / "salt.cif").read_text()
    (folder / "two.cif").write_text(salt.replace("Na", "K") + salt)
    table = ask(folder, "--move", "positions", "-n", "1", template="two.cif")
    assert "two.cif: using the first of 2 structures" in capsys.readouterr().err
    assert set(table["element"][0]) == {17, 19}
