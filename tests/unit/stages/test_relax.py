"""The relax stage: a record per crystal of the shard, whatever became of it or of the process."""

import re
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers.launch import interrupted
from pymatgen.core import Lattice, Structure

from crystalformer_rl.cli import main
from crystalformer_rl.crystal.structures import structure_columns, structures_of
from crystalformer_rl.files import read_json, read_table, write_table
from crystalformer_rl.jobs.journal import Journal

pytestmark = pytest.mark.slow

# Cells of 54 atoms: two make a group.
COUNT, GROUP = 5, 2
SLOW = '{"max_force": 0.0001, "max_steps": 10}'


def salt(length: float) -> Structure:
    return Structure(
        Lattice([[0, length / 2, length / 2], [length / 2, 0, length / 2], [length / 2] * 2 + [0]]),
        ["Na", "Cl"],
        [[0, 0, 0], [0.5, 0.5, 0.5]],
    )


def write_sample(path: Path, crystals: list[Structure | None]) -> list[str]:
    ids = [f"base-0000-{i:04d}" for i in range(len(crystals))]
    write_table(path, pd.DataFrame({"id": ids, **structure_columns(crystals)}))
    return ids


def arguments(folder: Path, out: str, settings: str) -> list[str]:
    values = {
        "settings": settings,
        "sample": folder / "sample.parquet",
        "journal": folder / "checkpoints" / f"{out}.journal",
        "out": folder / "relax" / f"{out}.parquet",
    }
    return [f"--{name}={value}" for name, value in values.items()]


def test_every_crystal_has_a_record(tmp_path: Path) -> None:
    overlap = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.05, 0, 0]])
    heavy = Structure(Lattice.cubic(4), ["Cf"], [[0, 0, 0]])
    ids = write_sample(tmp_path / "sample.parquet", [salt(5.8), None, overlap, heavy])
    main(["relax", *arguments(tmp_path, "shard", '{"max_force": 0.05, "max_steps": 60}')])
    table = read_table(tmp_path / "relax/shard.parquet")
    assert table["id"].tolist() == ids
    assert table["status"].tolist() == [
        "converged",
        "unphysical",
        "unphysical",
        "unknown_element",
    ]
    assert table["error"].isna().tolist() == [True, False, False, False]
    assert table["energy_final"].iloc[0] < table["energy_initial"].iloc[0]
    relaxed = structures_of(table, prefix="relaxed_")
    assert [s is None for s in relaxed] == [False, True, True, True]
    record = read_json(tmp_path / "relax/shard.provenance.json")
    assert record["counts"]["converged"] == 1
    assert record["counts"]["unphysical"] == 2
    assert record["counts"]["items"] == 4
    assert record["counts"]["steps"] == record["counts"]["steps_of_this_job"] > 0


def test_after_another_relaxation(tmp_path: Path) -> None:
    overlap = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.05, 0, 0]])
    write_sample(tmp_path / "sample.parquet", [salt(5.2), overlap])
    settings = '{"max_force": 0.05, "max_steps": 60}'
    main(["relax", *arguments(tmp_path, "first", settings)])
    first = tmp_path / "relax/first.parquet"
    main(["relax", *arguments(tmp_path, "second", settings), f"--after={first}"])
    one, two = (read_table(tmp_path / f"relax/{name}.parquet") for name in ("first", "second"))
    # The energy as generated is that of the sample; no step is left from where the first ended.
    assert two["energy_initial"][0] == pytest.approx(one["energy_initial"][0], abs=1e-6)
    assert two["energy_final"][0] == pytest.approx(one["energy_final"][0], abs=1e-6)
    assert one["steps"][0] > 0 == two["steps"][0]
    # Where the first has no crystal, the second starts from the sample.
    assert two["status"].tolist() == ["converged", "unphysical"]

    write_sample(tmp_path / "sample.parquet", [salt(5.2)])
    with pytest.raises(SystemExit):
        main(["relax", *arguments(tmp_path, "third", settings), f"--after={first}"])


def test_a_row_that_cannot_be_read_costs_that_row(tmp_path: Path) -> None:
    path = tmp_path / "sample.parquet"
    write_sample(path, [salt(5.6), salt(5.6)])
    table = read_table(path)
    table["numbers"] = [[0, 17], [11, 17]]
    write_table(path, table)
    main(["relax", *arguments(tmp_path, "shard", '{"max_force": 0.05, "max_steps": 1}')])
    table = read_table(tmp_path / "relax/shard.parquet")
    assert table["status"].tolist() == ["unphysical", "not_converged"]
    assert table["error"][0] == "atomic numbers 0: each must be an integer from 1 to 118"


def test_a_sample_without_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sample.parquet"
    write_sample(path, [salt(5.6)])
    write_table(path, read_table(path).drop(columns="id"))
    with pytest.raises(SystemExit):
        main(["relax", *arguments(tmp_path, "shard", SLOW)])
    assert "sample.parquet: no column 'id'; it has ['" in capsys.readouterr().err


def test_a_shard_without_crystals(tmp_path: Path) -> None:
    write_sample(tmp_path / "sample.parquet", [None])
    write_table(tmp_path / "sample.parquet", read_table(tmp_path / "sample.parquet").head(0))
    main(["relax", *arguments(tmp_path, "shard", SLOW)])
    table = read_table(tmp_path / "relax/shard.parquet")
    assert len(table) == 0
    assert {"id", "status", "energy_final", "relaxed_lattice"} <= set(table)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard, and its relaxation that was never stopped."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("relax")
    write_sample(path / "sample.parquet", [salt(5.4 + 0.1 * i) * 3 for i in range(COUNT)])
    main(["relax", *arguments(path, "straight", SLOW)])
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 75)]
)
def test_a_killed_process_goes_on_to_the_same_bits(
    folder: Path, number: signal.Signals, code: int
) -> None:
    args = arguments(folder, number.name, SLOW)
    out = folder / "relax" / f"{number.name}.parquet"
    log, journal = folder / f"{number.name}.log", folder / f"checkpoints/{number.name}.journal"
    Journal(journal, key={"settings": "others"}).append(3, "must not be used")
    found, said = interrupted(
        "relax", [*args, f"--log-file={log}"], by=number, after="base-0000-0001 "
    )
    assert found == code, said
    assert ("SIGTERM; run again to continue" in said) == (number == signal.SIGTERM)
    assert not out.exists()
    kept = GROUP * (journal.read_bytes().count(b"\n") - 1)
    assert GROUP <= kept < COUNT
    torn = journal.read_bytes().splitlines()[-1][:-20]
    with journal.open("ab") as stream:
        stream.write(b"\n" + torn)

    before = len(log.read_text())
    main(["relax", *args, f"--log-file={log}"])
    assert out.read_bytes() == (folder / "relax/straight.parquet").read_bytes()
    text = log.read_text()[before:]
    assert f"{kept} of {COUNT} crystals are in journal {journal}" in text
    # What the journal had is not relaxed again.
    done = re.findall(r"(base-0000-\d{4}) \w+ after \d+ steps", text)
    assert sorted(done) == read_table(out)["id"].tolist()[kept:]
    counts = read_json(out.with_suffix(".provenance.json"))["counts"]
    assert counts["items"] == COUNT - kept
    assert 0 < counts["steps_of_this_job"] < counts["steps"]


def test_done_again_a_shard_comes_from_its_journal(folder: Path, tmp_path: Path) -> None:
    """As after the death of a driver, which did not note that the job has finished."""
    args = arguments(folder, "straight", SLOW)
    out = folder / "relax/straight.parquet"
    kept = shutil.copy(out, tmp_path)
    for path in (out, out.with_suffix(".provenance.json")):
        path.unlink()
    main(["relax", *args])
    assert out.read_bytes() == Path(kept).read_bytes()
    counts = read_json(out.with_suffix(".provenance.json"))["counts"]
    assert (counts["items"], counts["steps_of_this_job"]) == (0, 0)
    assert counts["steps"] > 0
