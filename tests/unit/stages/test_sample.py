"""The sample stage: a policy in, a shard out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cli import run_verb
from helpers.launch import end, start, torchrun

from crystalformer_rl import cli
from crystalformer_rl.config import ModelSettings, SampleSettings
from crystalformer_rl.crystal.structures import structures_of
from crystalformer_rl.crystal.token_table import tokens_of
from crystalformer_rl.files import read_json, read_table
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.stages import sample

MODEL = ModelSettings(
    layers=1, heads=2, key_size=4, width=16, embedding=8, first_letter_hidden=16, max_sites=6
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    counts = np.zeros(231, dtype=np.int64)
    counts[[2, 62, 225]] = 5, 3, 1
    policy = Policy(MODEL, seed=1, space_group_counts=counts)
    # An untrained policy draws lengths around 0: half of them build no cell.
    policy.save(tmp_path / "policy")
    return tmp_path


def run(folder: Path, *, shard: int = 0, out: str = "shard.parquet", **settings: object) -> Path:
    values = {
        "settings": SampleSettings.model_validate({"shard_size": 40} | settings).model_dump_json(),
        "policy": folder / "policy",
        "name": "base",
        "shard": shard,
        "seed": 7,
        "out": folder / out,
    }
    run_verb(sample, [f"--{name}={value}" for name, value in values.items()])
    return folder / out


@pytest.mark.gpu
def test_shard(folder: Path) -> None:
    path = run(folder, shard=2)
    table = read_table(path)
    assert table["id"].tolist() == [f"base-0002-{i:04d}" for i in range(40)]
    assert set(table["space_group"]) <= {2, 62, 225}
    assert list(table.columns[:9]) == [
        "id", "space_group", "num_sites", "wyckoff", "element", "site_positions",
        "token_lattice", "log_prob", "decode_error",
    ]  # fmt: skip
    structures = structures_of(table)
    failed = table["decode_error"].notna()
    assert failed.any()
    assert not failed.all()
    assert [structure is None for structure in structures] == failed.tolist()
    record = read_json(folder / "shard.provenance.json")
    assert record["stage"] == "sample"
    counts = {"items": 40, "undecodable": int(failed.sum()), "processes": 1}
    assert record["counts"] == counts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "count", "program"),
    [(3, 20, []), (3, 2, []), (2, 20, ["-m", "helpers.pretend_gpu"])],
    ids=["three", "more than crystals", "two with a GPU each"],
)
def test_several_processes_draw_what_one_draws(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
    count: int,
    program: list[str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    alone, table = ask(folder, "-n", str(count)), folder / "several.parquet"
    words = [f"--policy={folder / 'policy'}", f"--out={table}", f"-n={count}"]
    code, said = end(start("sample", words, [*torchrun(processes), *program]))
    assert code == 0, said
    found, record = read_table(table), read_json(table.with_suffix(".provenance.json"))
    assert record["device"] == ("cuda" if program else "cpu")
    assert record["counts"]["processes"] == processes
    assert found["id"].tolist() == alone["id"].tolist()
    np.testing.assert_allclose(found["log_prob"], alone["log_prob"], atol=1e-4)
    expected = tokens_of(alone).to_arrays()
    for name, array in tokens_of(found).to_arrays().items():
        np.testing.assert_allclose(array, expected[name], atol=1e-4)


@pytest.mark.slow
def test_a_mistake_ends_several_processes_with_its_line(folder: Path) -> None:
    words = [f"--policy={folder / 'policy'}", f"--out={folder / 'a.parquet'}", "--max-atoms=1"]
    code, said = end(start("sample", [*words, "--space-group=227"], torchrun(2)))
    assert code == 1
    assert said.count("space group 227 has at least 2 atoms") >= 2


def test_rows_hold_the_tokens_that_were_scored(folder: Path) -> None:
    table = read_table(run(folder))
    tokens = tokens_of(table)
    np.testing.assert_array_equal(tokens.num_sites, table["num_sites"])
    with torch.no_grad():
        scored = Policy.load(folder / "policy").log_prob(tokens).total.numpy()
    np.testing.assert_allclose(scored, table["log_prob"], rtol=0, atol=1e-4)


@pytest.mark.gpu
def test_shards_differ_and_repeat(folder: Path) -> None:
    tables = [
        read_table(run(folder, shard=shard, out=out)).drop(columns="id")
        for shard, out in ((0, "a.parquet"), (0, "b.parquet"), (1, "c.parquet"))
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0]["log_prob"].equals(tables[2]["log_prob"])


@pytest.mark.parametrize(
    ("named", "drawn"), [([62, 14], {62}), ([14], {14}), ([14, 15], {14, 15}), (None, {2, 62, 225})]
)
def test_space_groups_by_the_histogram_where_it_has_them(
    folder: Path, named: list[int] | None, drawn: set[int]
) -> None:
    table = read_table(run(folder, space_groups=named))
    assert set(table["space_group"]) == drawn


def test_negative_shard(folder: Path) -> None:
    with pytest.raises(ValueError, match="--shard must be 0 or more, got -1"):
        run(folder, shard=-1)


def ask(folder: Path, *words: str) -> pd.DataFrame:
    """As a person types it; the table that is written."""
    out = folder / "asked.parquet"
    cli.main(["sample", "--policy", str(folder / "policy"), "--out", str(out), *words])
    return read_table(out)


@pytest.mark.gpu
def test_what_people_ask_for(folder: Path) -> None:
    table = ask(
        folder, "-n", "30", "--space-group", "62", "225", "--elements", "Fe", "Co", "O",
        "--require", "O", "--max-atoms", "20", "--temperature", "0.8", "--top-p", "0.9",
        "--first-element-temperature", "2",
    )  # fmt: skip
    assert table["id"].tolist() == [f"policy-0000-{i:04d}" for i in range(30)]
    assert set(table["space_group"]) == {62, 225}
    assert {z for row in table["element"] for z in row} <= {8, 26, 27}
    assert all(8 in row for row in table["element"])
    record = read_json(folder / "asked.provenance.json")["settings"]
    assert record["count"] == 30
    assert record["constraints"]["required"] == ["O"]


def test_template_with_elements_per_site(folder: Path) -> None:
    table = ask(
        folder, "-n", "12", "--space-group", "221", "--wyckoff", "a", "b", "c",
        "--site-elements", "Ca,Sr,Ba", "Ti,Zr", "O",
    )  # fmt: skip
    assert [row.tolist() for row in table["wyckoff"]] == [[1, 2, 3]] * 12
    for first, second, third in table["element"]:
        assert first in {20, 38, 56}
        assert second in {22, 40}
        assert third == 8


def test_flags_override_the_settings(folder: Path) -> None:
    settings = SampleSettings.model_validate(
        {"count": 5, "space_groups": [2], "constraints": {"exclude_noble_gases": True}}
    ).model_dump_json()
    table = ask(folder, "--settings", settings, "--space-group", "62", "--exclude-radioactive")
    assert len(table) == 5
    assert set(table["space_group"]) == {62}
    constraints = read_json(folder / "asked.provenance.json")["settings"]["constraints"]
    assert constraints["exclude_noble_gases"]
    assert constraints["exclude_radioactive"]


def test_uniform_draws_groups_that_training_did_not_have(folder: Path) -> None:
    assert len(set(ask(folder, "-n", "40", "--uniform")["space_group"]) - {2, 62, 225}) > 10


def test_the_seed_and_the_name_decide(folder: Path) -> None:
    first, again, other, renamed = (
        ask(folder, "-n", "4", "--space-group", "2", *more)["log_prob"].tolist()
        for more in ([], [], ["--seed", "1"], ["--name", "mine"])
    )
    assert first == again
    assert first != other
    assert first != renamed


def test_a_policy_of_the_checkout_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("crystalformer_rl.model.folder.PRETRAINED", folder)
    words = ["sample", "-n", "2", "--out", str(folder / "a.parquet"), "--policy"]
    cli.main([*words, "policy"])
    assert read_table(folder / "a.parquet")["id"].tolist() == [
        "policy-0000-0000",
        "policy-0000-0001",
    ]
    with pytest.raises(SystemExit):
        cli.main([*words, "mp99"])
    assert "policy 'mp99': no folder with model.safetensors and model.json, and" in (
        line := last_line(capsys)
    )
    assert "has policy" in line


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--space-group 0", "--space-group 0: give the number of a space group, 1 to 230"),
        ("--space-group 2 231", "--space-group 231: give the number of a space group, 1 to 230"),
        ("--space-group Fm-3m", "--space-group Fm-3m: give the number of a space group, 1 to 230"),
        ("--elements Fe Xx", "constraints.elements.1: unknown element 'Xx'"),
        ("--site-elements Fe,Q", "constraints.site_elements.0.1: unknown element 'Q'"),
        ("--elements Fe --require O", "O is not allowed; allowed are Fe"),
        ("--wyckoff c a", "constraints.wyckoff: letters must be in order"),
        ("--wyckoff a k --space-group 2", "letter k does not exist: space group 2 has"),
        (
            "--wyckoff a --site-elements Na Cl",
            "site_elements has 2 lists, but the template wyckoff has 1",
        ),
        ("--max-atoms 1 --space-group 225 227", "space group 227 has at least 2 atoms in its"),
        ("--max-atoms 1 --require O H", "none of the 3 space groups can satisfy the constraints"),
        ("--temperature 1e-40", "temperature = 1e-40: input should be greater than or equal to"),
        ("--temperature inf", "temperature = Infinity: input should be a finite number"),
        ("--first-element-temperature 1e39", "first_element_temperature = 1e+39: input should be"),
        ("--settings {", "sample: not JSON: EOF while parsing"),
        ("--settings []", "sample: []: input should be an object"),
        ("--name ../../evil", "--name '../../evil' is used in file names"),
        ("--name .evil", "--name '.evil' is used in file names"),
        ("--policy /etc", "policy '/etc': no folder with model.safetensors and model.json"),
        ("-n 0", "count = 0: input should be greater than 0"),
        ("--top-p 2", "top_p = 2.0: input should be less than or equal to 1"),
        ("--max-atoms 1 --wyckoff a", "wyckoff fixes the number of atoms"),
        ("-n 2 --shard 0", "--count and --shard cannot be combined"),
        ("--out a.poscar", "cannot write .poscar; the suffix may be .parquet"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        ask(folder, *words.split())
    assert end.value.code == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert message in said[0]
    assert not (folder / "asked.parquet").exists()


def test_a_policy_without_a_histogram(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Policy(MODEL, seed=1).save(folder / "policy")
    with pytest.raises(SystemExit):
        ask(folder, "-n", "2")
    line = last_line(capsys)
    for way in ("--space-group ", "--uniform", "--space-groups mp20-small"):
        assert way in line
    assert len(ask(folder, "-n", "2", "--uniform")) == 2


def test_groups_that_cannot_obey_are_drawn_by_no_shard(folder: Path) -> None:
    """Group 62 has no site of fewer than 4 atoms; it would be every third crystal."""
    for shard in range(2):
        table = read_table(run(folder, shard=shard, constraints={"max_atoms": 3}))
        assert set(table["space_group"]) == {2, 225}
