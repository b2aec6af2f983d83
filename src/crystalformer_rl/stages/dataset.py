"""Stage ``dataset``: read the sources, split them, and keep the crystals that can be used."""

import argparse
import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.core import Structure

from crystalformer_rl.config import DatasetSettings
from crystalformer_rl.crystal.physical import MAX_ELEMENT
from crystalformer_rl.crystal.readers import Row, read_crystals, source_files
from crystalformer_rl.crystal.structures import COLUMNS, structure_columns
from crystalformer_rl.crystal.symmetry import primitive
from crystalformer_rl.files import write_table
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.manifest import verify

SPLITS = ("train", "val", "test")
NEEDED_SPLITS = ("train", "val")
REJECTED_COLUMNS = ("id", "split", "reason", "detail")
# Å; tight, so that only true repetitions of a cell are taken out.
PRIMITIVE_SYMPREC = 0.01
TRAIN_SHARE, VAL_SHARE = 0.8, 0.1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A crystal that is kept, as its row of the table: a thirtieth of the structure's memory."""

    id: str
    split: str
    formula: str
    num_atoms: int
    cell: tuple[NDArray[Any], ...]
    properties: Mapping[str, Any]

    @classmethod
    def of(cls, row: Row, structure: Structure) -> "Kept":
        """The row, with ``structure`` in the place of its own."""
        cell = structure_columns([structure])
        return cls(
            row.id,
            str(row.split),
            structure.reduced_formula,
            len(structure),
            tuple(np.array(cell[name][0]) for name in COLUMNS),
            row.properties,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``crystalformer-rl dataset``."""
    parser.add_argument("--settings", required=True, help="dataset section, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(args: argparse.Namespace) -> None:
    """Write ``structures.parquet``, ``rejected.parquet`` and ``provenance.json``.

    Structures are in primitive cells. Rejected: ``unreadable``, ``disordered``, ``element`` (not
    1–118) and ``too_many_atoms``.

    Raises
    ------
    FileNotFoundError
        If a source is missing.
    ValueError
        If a source is damaged, lacks columns or is not the download it stands for, an id occurs
        twice, or a split comes out empty.
    """
    settings = DatasetSettings.model_validate_json(args.settings)
    sources = {name: Path(path) for name, path in settings.sources.items()}
    for name, path in sources.items():
        if not path.exists():
            raise FileNotFoundError(f"dataset.sources.{name}: {path}: no such file or folder")
        verify(source_files(path))
    provenance = Provenance(
        __name__,
        settings=settings.model_dump(mode="json"),
        inputs={name: source_files(path) for name, path in sources.items()},
    )
    rows = itertools.chain.from_iterable(
        # A source of one split need not be read beyond the limit.
        itertools.islice(_rows(name, path), settings.limit if name != "all" else None)
        for name, path in sources.items()
    )
    kept, rejected = _judge(rows, settings)
    _refuse_empty_splits(kept, rejected, settings)
    write_table(args.out / "structures.parquet", _table(kept))
    write_table(
        args.out / "rejected.parquet",
        pd.DataFrame(rejected, columns=list(REJECTED_COLUMNS), dtype="str"),
    )
    counts = Counter(row.split for row in kept)
    reasons = Counter(reason for _, _, reason, _ in rejected)
    log.info("kept %s, rejected %s", dict(counts), dict(reasons))
    provenance.write(
        args.out / "provenance.json",
        items=len(kept) + len(rejected),
        **{f"kept_{split}": counts[split] for split in SPLITS},
        **{f"rejected_{reason}": number for reason, number in sorted(reasons.items())},
    )


def _rows(name: str, path: Path) -> Iterator[Row]:
    """The rows of one source, each with its split."""
    for row in read_crystals(path):
        split = name if name != "all" else row.split or _split_of(row.id)
        if split not in SPLITS:
            raise ValueError(
                f"{path}: row {row.id!r} has split {split!r}; must be one of {list(SPLITS)}"
            )
        yield replace(row, split=split)


def _split_of(name: str) -> str:
    """80/10/10 by a hash of the id: a crystal keeps its split whatever else the source holds."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    if share < TRAIN_SHARE:
        return "train"
    return "val" if share < TRAIN_SHARE + VAL_SHARE else "test"


def _judge(
    rows: Iterator[Row], settings: DatasetSettings
) -> tuple[list[Kept], list[tuple[str, str, str, str]]]:
    """Kept rows in primitive cells, and (id, split, reason, detail) of the others."""
    kept: list[Kept] = []
    rejected: list[tuple[str, str, str, str]] = []
    seen: set[str] = set()
    taken: Counter[str] = Counter()
    for row in progress(rows, label="dataset"):
        if row.id in seen:
            raise ValueError(
                f"id {row.id!r} occurs twice in {list(settings.sources.values())}; ids must be "
                "unique over all splits"
            )
        seen.add(row.id)
        split = str(row.split)
        taken[split] += 1
        if settings.limit is not None and taken[split] > settings.limit:
            continue
        judged = _refusal(row, settings.max_atoms)
        if isinstance(judged, Kept):
            kept.append(judged)
        else:
            rejected.append((row.id, split, *judged))
    return kept, rejected


def _refusal(row: Row, max_atoms: int) -> Kept | tuple[str, str]:
    if row.structure is None:
        return str(row.reason), str(row.error)
    numbers = set(row.structure.atomic_numbers)
    if wrong := sorted(number for number in numbers if not 1 <= number <= MAX_ELEMENT):
        return "element", f"atomic numbers {wrong}, must be 1 to {MAX_ELEMENT}"
    structure = primitive(row.structure, symprec=PRIMITIVE_SYMPREC)
    if len(structure) > max_atoms:
        return (
            "too_many_atoms",
            f"{len(structure)} atoms in the primitive cell, at most {max_atoms}",
        )
    return Kept.of(row, structure)


def _refuse_empty_splits(
    kept: list[Kept], rejected: list[tuple[str, str, str, str]], settings: DatasetSettings
) -> None:
    filled = {row.split for row in kept}
    named = {name for name in settings.sources if name != "all"}
    for split in SPLITS:
        if split not in filled and split in named.union(NEEDED_SPLITS):
            reasons = Counter(reason for _, place, reason, _ in rejected if place == split)
            raise ValueError(
                f"split {split!r} has no crystals: {sum(reasons.values())} rows were rejected "
                f"{dict(reasons)}, of the sources {dict(settings.sources)}"
            )


def _table(kept: list[Kept]) -> pd.DataFrame:
    names = sorted({name for row in kept for name in row.properties})
    return pd.DataFrame(
        {
            "id": [row.id for row in kept],
            "split": [row.split for row in kept],
            "formula": [row.formula for row in kept],
            "num_atoms": [row.num_atoms for row in kept],
            **{name: [row.cell[place] for row in kept] for place, name in enumerate(COLUMNS)},
            **{name: [row.properties.get(name) for row in kept] for name in names},
        }
    )
