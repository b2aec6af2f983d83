"""The assess stage: one shard, evaluated crystal by crystal, and continued after a signal."""

import dataclasses
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cli import run_verb
from helpers.crystals import cubic_crystal
from helpers.launch import interrupted
from helpers.shards import (
    CESIUM,
    SALT,
    assess_shard,
    prepare,
    words_of,
    write_judge,
    write_shard,
)

from crystalformer_rl.evaluation.columns import COLUMNS, JUDGE
from crystalformer_rl.files import read_json, read_table
from crystalformer_rl.jobs.journal import Journal
from crystalformer_rl.stability.reference import read_elements, write_elements
from crystalformer_rl.stages import assess

ROWS = [(SALT, -3.45), (CESIUM, -3.45), (None, None), (CESIUM, -3.4)]
LATER = {
    "unique", "representative", "stable_unique", "sun", "unique_strict", "stable_unique_strict",
    "sun_strict", "lemat_sun", "lemat_msun",
}  # fmt: skip
"""What needs the other shards of the run."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    prepare(tmp_path)
    return tmp_path


def test_every_crystal_of_a_shard_has_a_row(folder: Path) -> None:
    write_shard(folder, "base", ROWS)
    table = assess_shard(folder, "base")
    assert set(table["policy"]) == {"base"}
    assert table["id"].tolist() == [f"base-0000-{i:04d}" for i in range(4)]
    assert table["decoded"].tolist() == [True, True, False, True]
    assert table["stable"].tolist() == [True, True, False, False]
    assert table["novel"].tolist() == [False, True, False, True]
    assert table["novel_strict"].tolist() == table["novel"].tolist()
    assert table["matched_id"].dropna().tolist() == ["mp-22862"]
    assert table["e_above_hull"].dropna().tolist() == pytest.approx([0.05, 0.05, 0.1])
    assert table["band_gap"].notna().tolist() == table["decoded"].tolist()
    assert table["failure"].dropna().tolist() == ["decode: no volume"]
    assert table["rmsd"].dropna().tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert table["prototype"].dropna().tolist() == ["225 ab"] * 3
    expected = {column.name for column in COLUMNS if not column.only_with} - LATER
    assert set(table) == expected
    record = read_json(folder / "assess/base/shard-0000.provenance.json")
    assert record["counts"] == {"items": 4, "failed": 1}


def test_a_crystal_without_predicted_properties_fails_no_other(folder: Path) -> None:
    strange = cubic_crystal("Fm-3m", "Na", "Cf", 6.0)
    write_shard(folder, "base", [(SALT, -3.45), (strange, -3.45), (CESIUM, -3.45)])
    hull = read_elements(folder / "hull/elements.json")
    known = {**hull.energies, "Cf": -1.0}
    write_elements(folder / "hull/elements.json", dataclasses.replace(hull, energies=known))
    table = assess_shard(folder, "base")
    assert table["band_gap"].isna().tolist() == [False, True, False]
    assert table["failure"].fillna("").tolist() == [
        "", "properties: unknown_element: chgnet does not know Cf", "",
    ]  # fmt: skip


def test_a_judge_adds_columns_and_changes_none(folder: Path) -> None:
    write_shard(folder, "base", ROWS)
    alone = assess_shard(folder, "base")
    write_judge(folder, "base", [-1.0, -0.5, np.nan, -1.05])
    table = assess_shard(folder, "base")
    of_judge = [column.name for column in COLUMNS if column.only_with == JUDGE]
    assert set(table) - set(alone) == {*of_judge} - {"sun_judge"}
    pd.testing.assert_frame_equal(table[alone.columns], alone, check_exact=True)
    assert table["judge_e_above_hull"].dropna().tolist() == pytest.approx([0.0, 0.5, -0.05])
    assert table["judge_stable"].tolist() == [True, False, False, True]
    assert table["judge_supported"].tolist() == [True, True, False, True]


def test_a_shard_without_crystals_has_the_columns_and_their_types(folder: Path) -> None:
    write_shard(folder, "base", ROWS)
    write_shard(folder, "none", [])
    whole, empty = assess_shard(folder, "base"), assess_shard(folder, "none")
    assert (len(empty), list(empty)) == (0, list(whole))
    found = ["failure", "matched_id", "stable", "num_atoms", "hull_compounds", "rmsd"]
    assert empty[found].dtypes.tolist() == whole[found].dtypes.tolist()


def test_a_column_of_words_has_its_type_even_if_it_is_empty(folder: Path) -> None:
    write_shard(folder, "base", [(None, None)])
    table = assess_shard(folder, "base")
    assert {str(table[name].dtype) for name in ("matched_id", "formula", "prototype")} == {"str"}


def test_a_judge_needs_its_hull_and_its_relaxations(folder: Path) -> None:
    write_shard(folder, "base", ROWS)
    words = [*words_of(folder, "base"), "--judge-hull", "x"]
    with pytest.raises(ValueError, match="--judged and --judge-hull must be given together"):
        run_verb(assess, words)


@pytest.mark.parametrize("stage", ["relax", "judge"])
def test_a_relaxation_of_another_shard_is_refused(folder: Path, stage: str) -> None:
    write_shard(folder, "base", ROWS)
    write_judge(folder, "base", [-1.0] * 4)
    write_shard(folder, "base", ROWS, number=1)
    (folder / "relax/base/shard-0001.parquet").replace(folder / stage / "base/shard-0000.parquet")
    with pytest.raises(ValueError, match="not in both the sample and the relaxation shards"):
        assess_shard(folder, "base")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 75)]
)
def test_a_killed_process_goes_on_to_the_same_bits(
    folder: Path, caplog: pytest.LogCaptureFixture, number: signal.Signals, code: int
) -> None:
    crystals = [SALT, CESIUM, None]
    rows = [
        (crystals[i % 3] and crystals[i % 3].copy().scale_lattice(40.0 + i), -3.4)
        for i in range(2 * assess.CHUNK + 3)
    ]
    write_shard(folder, "base", rows)
    write_judge(folder, "base", [-1.0] * len(rows))
    words = words_of(folder, "base")
    journal, out = Path(words[-3]), Path(words[-1])
    Journal(journal, key={"settings": "others"}).append(0, "must not be used")
    found, said = interrupted("assess", words, by=number, after=f"{assess.CHUNK} of ")
    assert found == code, said
    assert ("SIGTERM; run again to continue" in said) == (number == signal.SIGTERM)
    assert not out.exists()
    with journal.open("ab") as stream:  # a line that was cut
        stream.write(b"\n" + journal.read_bytes().splitlines()[-1][:-20])

    caplog.set_level("INFO")
    continued = assess_shard(folder, "base")
    assert f"{assess.CHUNK} of {len(rows)} crystals are in journal" in caplog.text
    counts = read_json(out.with_suffix(".provenance.json"))["counts"]
    assert counts["items"] == len(rows) - assess.CHUNK
    whole = out.read_bytes()
    # As after the death of a driver, which did not note that the job has finished.
    pd.testing.assert_frame_equal(assess_shard(folder, "base"), continued, check_exact=True)
    assert read_json(out.with_suffix(".provenance.json"))["counts"]["items"] == 0
    journal.unlink()
    pd.testing.assert_frame_equal(assess_shard(folder, "base"), continued, check_exact=True)
    assert out.read_bytes() == whole


def test_other_settings_do_not_use_the_journal(folder: Path) -> None:
    write_shard(folder, "base", ROWS)
    assert assess_shard(folder, "base")["stable"].sum() == 2
    words = words_of(folder, "base")
    words[1] = '{"stable_below": 0.2}'
    run_verb(assess, words)
    assert read_table(Path(words[-1]))["stable"].sum() == 3
