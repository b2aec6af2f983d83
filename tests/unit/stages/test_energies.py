"""The energies stage: each crystal once, whatever became of the process or of the dataset."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.launch import interrupted
from pymatgen.core import Lattice, Structure

from crystalformer_rl.cli import main
from crystalformer_rl.crystal.cell import cells_from
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.files import read_json, read_table, write_table
from crystalformer_rl.potentials import registry
from crystalformer_rl.stages import energies

pytestmark = pytest.mark.slow

COUNT = 12


def salt(length: float, element: str = "Na") -> Structure:
    half = length / 2
    return Structure(
        Lattice([[0, half, half], [half, 0, half], [half, half, 0]]),
        [element, "Cl"],
        [[0, 0, 0], [0.5, 0.5, 0.5]],
    )


SALTS = [salt(5.4 + 0.05 * number) for number in range(COUNT)]


def write_dataset(folder: Path, structures: list[Structure], **columns: Any) -> None:
    ids = [f"mp-{number}" for number in range(len(structures))]
    table = pd.DataFrame({"id": ids, **structure_columns(structures), **columns})
    write_table(folder / "structures.parquet", table)


def arguments(folder: Path, *, shard: int = 0, shards: int = 1, out: str = "energies") -> list[str]:
    values = {
        "potential": "chgnet",
        "structures": folder / "structures.parquet",
        "shard": shard,
        "shards": shards,
        "cache": folder / "cache" / out,
        "out": folder / out / f"shard-{shard:04d}.parquet",
    }
    return [f"--{name}={value}" for name, value in values.items()]


def compute(folder: Path, **options: Any) -> tuple[pd.DataFrame, dict[str, int]]:
    """The table of a shard, and the counts of its provenance."""
    words = arguments(folder, **options)
    main(["energies", *words])
    out = Path(words[-1].removeprefix("--out="))
    return read_table(out), read_json(out.with_suffix(".provenance.json"))["counts"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_every_crystal_without_a_known_energy_has_a_row(tmp_path: Path) -> None:
    structures = [salt(5.6), salt(5.6), salt(0.6), salt(5.6, "Cf"), salt(5.7), salt(5.6)]
    known = {"energy_per_atom:chgnet": [None] * 5 + [-9.0]}
    write_dataset(tmp_path, structures, **known)
    table, counts = compute(tmp_path)
    assert table["id"].tolist() == ["mp-0", "mp-1", "mp-2", "mp-3", "mp-4"]
    assert set(table["potential"]) == {"chgnet"}
    potential = registry.load("chgnet")
    first, second = (
        e.energy / 2 for e in potential.evaluate(cells_from([salt(5.6), salt(5.7)]), forces=False)
    )
    expected = [first, first, np.nan, np.nan, second]
    energies = table["energy_per_atom"].to_numpy(float, na_value=np.nan)
    np.testing.assert_allclose(energies, expected, atol=1e-5)
    reasons = table.set_index("id")["reason"].dropna()
    assert reasons["mp-2"].startswith("unphysical: ")
    assert reasons["mp-3"] == "unknown_element: chgnet does not know Cf"
    assert len(reasons) == 2
    # The second crystal is the first one again.
    assert counts == {"items": 4, "from_cache": 0, "crystals": 5, "failed": 2}


def test_in_batches_as_on_a_gpu_the_energies_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path, [*SALTS[:3], salt(0.6), *SALTS[3:]])
    alone, _ = compute(tmp_path, out="alone")
    load = registry.load
    monkeypatch.setattr(energies, "best_device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a pretend card")
    monkeypatch.setattr(energies, "CHUNK", 5)
    monkeypatch.setattr(registry, "load", lambda spec, **_: load(spec))
    together, counts = compute(tmp_path)
    assert (counts["items"], counts["failed"]) == (COUNT + 1, 1)
    pd.testing.assert_frame_equal(together, alone, check_exact=False, atol=1e-5)
    assert len(list((tmp_path / "cache/energies").iterdir())) > 1


def test_where_all_energies_are_known_no_potential_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a potential was loaded")

    monkeypatch.setattr(registry, "load", refuse)
    write_dataset(tmp_path, SALTS, energy_per_atom=-3.0, potential="chgnet")
    table, counts = compute(tmp_path)
    assert list(table) == ["id", "potential", "energy_per_atom", "reason"]
    assert len(table) == 0
    assert counts == {"items": 0, "from_cache": 0, "crystals": 0, "failed": 0}
    assert not (tmp_path / "cache").exists()


def test_of_a_larger_dataset_only_the_new_crystals_are_computed(tmp_path: Path) -> None:
    write_dataset(tmp_path, SALTS[:5])
    before, counts = compute(tmp_path)
    assert (counts["items"], counts["from_cache"]) == (5, 0)
    # The old crystals have other ids now and come in another order.
    write_dataset(tmp_path, [SALTS[5], *reversed(SALTS[:5]), SALTS[6]])
    after, counts = compute(tmp_path)
    assert (counts["items"], counts["from_cache"]) == (2, 5)
    assert after["energy_per_atom"].tolist()[5:0:-1] == before["energy_per_atom"].tolist()
    again, counts = compute(tmp_path)
    assert (counts["items"], counts["from_cache"]) == (0, 7)
    pd.testing.assert_frame_equal(again, after)


def test_any_number_of_shards_gives_the_same_energies(tmp_path: Path) -> None:
    write_dataset(tmp_path, SALTS)
    whole, _ = compute(tmp_path, out="whole")
    parts = [compute(tmp_path, shard=number, shards=3) for number in range(3)]
    assert sum(counts["items"] for _, counts in parts) == COUNT
    assert all(0 < len(table) < COUNT for table, _ in parts)
    joined = pd.concat(table for table, _ in parts).set_index("id").loc[whole["id"]]
    assert joined["energy_per_atom"].tolist() == whole["energy_per_atom"].tolist()
    # Another number of shards finds them all.
    halves = [compute(tmp_path, shard=number, shards=2) for number in range(2)]
    assert sum(counts["items"] for _, counts in halves) == 0
    assert sum(counts["from_cache"] for _, counts in halves) == COUNT


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 75)]
)
def test_a_killed_process_goes_on_to_the_same_bits(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    structures = [*SALTS[:6], salt(5.6, "Cf"), *SALTS[6:]]
    write_dataset(tmp_path, structures)
    found, said = interrupted("energies", arguments(tmp_path), by=number, after="mp-6 unknown")
    assert found == code, said
    assert ("SIGTERM; run again to continue" in said) == (number == signal.SIGTERM)
    assert not (tmp_path / "energies").exists()
    journals = sorted((tmp_path / "cache/energies").iterdir())
    assert sum(path.read_bytes().count(b"\n") for path in journals) == 6
    torn = journals[0].read_bytes().splitlines()[-1][:-20]
    with journals[0].open("ab") as stream:
        stream.write(b"\n" + torn)

    table, counts = compute(tmp_path)
    assert (counts["items"], counts["from_cache"]) == (len(structures) - 6, 6)
    straight, _ = compute(tmp_path, out="straight")
    pd.testing.assert_frame_equal(table, straight, check_exact=True)
