"""A larger dataset: the hulls get the energies of its new crystals, and compute no other."""

from collections import Counter
from pathlib import Path

import pytest
from helpers.copies import Copy, copy_repository
from helpers.salts import write_salts

from crystalformer_rl.files import read_json, read_table

pytestmark = pytest.mark.slow

HULL = "results/smoke/judge/hull/hull.parquet"


def hull_of(copy: Copy, limit: int) -> tuple[set[str], Counter[str]]:
    """Ids of the judge's hull of the first crystals of each split, and counts of its energies."""
    dataset = f"dataset={{sources: {{all: salts.parquet}}, limit: {limit}}}"
    settings = (dataset, "hull={shards: 2}")
    copy.snakemake(HULL, "--configfile", "config/smoke.yaml", "--config", *settings)
    shards = sorted((copy.folder / "results/smoke/judge/energies").glob("*.provenance.json"))
    assert len(shards) == 2
    counts = Counter[str]()
    for path in shards:
        counts.update(read_json(path)["counts"])
    return set(read_table(copy.folder / HULL)["id"]), counts


def test_only_new_crystals_are_computed(tmp_path: Path) -> None:
    copy = copy_repository(tmp_path / "clone")
    write_salts(copy.folder / "salts.parquet", 30)
    small, first = hull_of(copy, 6)
    assert first["from_cache"] == 0
    assert first["items"] == first["crystals"] == len(small) == 18
    large, second = hull_of(copy, 8)
    assert small < large
    assert second["from_cache"] == len(small)
    assert second["items"] == len(large - small) == 6
