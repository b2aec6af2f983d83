"""Stage ``dataset``: read the sources, split them, and keep the crystals that can be used."""

import argparse
import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from numpy.typing import NDArray

from crystalformer_rl.config import DatasetSettings
from crystalformer_rl.crystal import labels
from crystalformer_rl.crystal.cell import Cell
from crystalformer_rl.crystal.readers import open_source, source_files
from crystalformer_rl.crystal.rows import Row, Source
from crystalformer_rl.crystal.structures import (
    COLUMNS,
    REJECTED_COLUMNS,
    SPLITS,
    values_of,
)
from crystalformer_rl.crystal.symmetry import PRIMITIVE_SYMPREC, primitive
from crystalformer_rl.files import write_table
from crystalformer_rl.jobs.progress import counted, progress
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.manifest import verify

NEEDED_SPLITS = ("train", "val")
# Rows and reasons that a message shows.
FIRST = 3
TRAIN_SHARE, VAL_SHARE = 0.8, 0.1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row of the table of structures: takes a thirtieth of the memory of a structure."""

    id: str
    split: str
    formula: str
    num_atoms: int
    cell: tuple[NDArray[Any], ...]
    properties: Mapping[str, Any]

    @classmethod
    def of(cls, row: Row, cell: Cell) -> "KeptRow":
        """The row of a crystal, in another ``cell``."""
        return cls(
            row.id,
            str(row.split),
            cell.composition.reduced_formula,
            len(cell.numbers),
            values_of(cell),
            row.properties,
        )


@dataclass
class Selection:
    """Rows of one source or of several.

    Attributes
    ----------
    kept
        In primitive cells.
    rejected
        Id, split, reason and detail of the others.
    merged
        Atoms of the kept rows that were merged with others.
    read
        The sources that were read.
    """

    kept: list[KeptRow] = field(default_factory=list)
    rejected: list[tuple[str, str, str, str]] = field(default_factory=list)
    merged: int = 0
    read: frozenset[str] = frozenset()

    @property
    def ids(self) -> set[str]:
        """Ids of the kept rows."""
        return {row.id for row in self.kept}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``crystalformer-rl dataset``."""
    parser.add_argument("--settings", required=True, help="dataset section, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(args: argparse.Namespace) -> None:
    """Write ``structures.parquet``, ``rejected.parquet`` and ``provenance.json``.

    Structures are in primitive cells. Reasons of rejection: ``unreadable`` (also a CIF that
    contradicts itself), ``not_physical``, ``disordered``, ``above_hull``, ``too_many_atoms``,
    ``repeated_id`` for later rows of a source with an id that is taken, and ``left_out`` for files
    of a folder that are not read. ``rejected.parquet`` is written before an empty split is refused.

    Raises
    ------
    FileNotFoundError
        If a source is missing.
    ValueError
        If a source is damaged, lacks columns or does not match the manifest of downloads, two
        sources have an id in common, or a split comes out empty.
    """
    settings = DatasetSettings.model_validate_json(args.settings)
    paths = {name: Path(path) for name, path in settings.sources.items()}
    for name, path in paths.items():
        if not path.exists():
            raise FileNotFoundError(f"dataset.sources.{name}: {path}: no such file or folder")
        verify(source_files(path))
    provenance = Provenance(
        __name__,
        settings=settings.model_dump(mode="json"),
        inputs={name: source_files(path) for name, path in paths.items()},
    )
    sources: dict[str, Source] = {
        name: open_source(path, merge_below=settings.merge_below) for name, path in paths.items()
    }
    _refuse_missing_splits(sources)
    unread = Counter(
        {name: sum(map(len, source.unread.values())) for name, source in sources.items()}
    )
    for source in sources.values():
        for line in labels.summary(source.unread):
            log.warning("%s: %s", source.path, line)
    found = _select(sources, settings)
    kept, rejected = found.kept, found.rejected
    write_table(
        args.out / "rejected.parquet",
        pd.DataFrame(rejected, columns=list(REJECTED_COLUMNS), dtype="str"),
    )
    counts = Counter(row.split for row in kept)
    reasons = Counter(reason for _, _, reason, _ in rejected)
    log.info(
        "kept: %s; rejected: %s; atoms merged: %d",
        *(counted(counts), counted(reasons), found.merged),
    )
    _refuse_empty_splits(found, settings)
    write_table(args.out / "structures.parquet", structures_table(kept))
    provenance.write(
        args.out / "provenance.json",
        items=len(kept) + len(rejected),
        merged_atoms=found.merged,
        unread_labels=unread.total(),
        **{f"kept_{split}": counts[split] for split in SPLITS},
        **{f"rejected_{reason}": number for reason, number in sorted(reasons.items())},
    )


def _refuse_missing_splits(sources: Mapping[str, Source]) -> None:
    """Raise for what can be known before the crystals are read, which may take long."""
    for name, source in sources.items():
        if name != "all" or not source.ids:
            continue
        splits = [
            split or _split_of(own) for own, split in zip(source.ids, source.splits, strict=True)
        ]
        unknown = [
            f"{own!r} has {split!r}"
            for own, split in zip(source.ids, splits, strict=True)
            if split not in SPLITS
        ]
        if unknown:
            raise ValueError(
                f"{source.path}: column 'split' must be one of {list(SPLITS)}; in {len(unknown)} "
                f"rows it is not: {', '.join(unknown[:FIRST])}"
            )
        for split in NEEDED_SPLITS:
            if split not in splits:
                raise ValueError(
                    f"{source.path}: no row has split {split!r}; {', '.join(NEEDED_SPLITS)} are "
                    "needed"
                )
    for (one, first), (two, second) in itertools.combinations(sources.items(), 2):
        if both := set(first.ids) & set(second.ids):
            ids = [name for name in first.ids if name in both]
            _refuse_shared(ids, sources[one].path, sources[two].path)


def _refuse_shared(ids: Sequence[str], first: Path, second: Path) -> NoReturn:
    """Raise for ids of two sources: numbered rows, or a crystal in two splits."""
    named = ", ".join(repr(name[:40]) for name in ids[:FIRST])
    raise ValueError(
        f"{first} and {second} have the same ids: {named}{', …' * (len(ids) > FIRST)}; ids must be "
        "unique over all splits: give the crystals of one of them other ids, or remove those that "
        "are in both"
    )


def _rows(name: str, source: Source, limit: int | None) -> Iterator[Row]:
    """The rows of one source, each with its split, and at most ``limit`` of each split."""
    rows = source.read()
    if limit is not None and source.row is not None:
        splits = [
            _split(name, own, split) for own, split in zip(source.ids, source.splits, strict=True)
        ]
        rows = map(source.row, _first_of_each(splits, limit))
    taken: Counter[str] = Counter()
    for row in rows:
        if row.reason == "left_out":
            yield replace(row, split="" if name == "all" else name)
            continue
        split = _split(name, row.id, row.split)
        taken[split] += 1
        if limit is None or taken[split] <= limit:
            yield replace(row, split=split)
        elif name != "all":
            return


def _first_of_each(kinds: Sequence[str], limit: int) -> list[int]:
    """The places of the first ``limit`` of each kind."""
    taken: Counter[str] = Counter()
    places = []
    for place, kind in enumerate(kinds):
        taken[kind] += 1
        if taken[kind] <= limit:
            places.append(place)
    return places


def _split(source: str, name: str, split: str | None) -> str:
    """The split of a row: of its source if that is one of a split, or its own."""
    return source if source != "all" else split or _split_of(name)


def _split_of(name: str) -> str:
    """80/10/10 by a hash of the id: a crystal keeps its split whatever else the source holds."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    if share < TRAIN_SHARE:
        return "train"
    return "val" if share < TRAIN_SHARE + VAL_SHARE else "test"


def _select(sources: Mapping[str, Source], settings: DatasetSettings) -> Selection:
    """Read the sources, until one of a split is found to have no crystal that can be kept."""
    parts: dict[str, Selection] = {}
    # The largest last, so that what is wrong with the others is said first.
    for name in sorted(sources, key=lambda name: name == "train"):
        parts[name] = _select_from(name, sources[name], settings)
        for other, part in parts.items():
            if other != name and (both := part.ids & parts[name].ids):
                _refuse_shared(sorted(both), sources[other].path, sources[name].path)
        if name in SPLITS and not parts[name].kept:
            break
    read = [parts[name] for name in sources if name in parts]
    return Selection(
        list(itertools.chain.from_iterable(part.kept for part in read)),
        list(itertools.chain.from_iterable(part.rejected for part in read)),
        sum(part.merged for part in read),
        frozenset(parts),
    )


def _select_from(name: str, source: Source, settings: DatasetSettings) -> Selection:
    """Read one source."""
    part = Selection()
    ids: set[str] = set()
    for row in progress(_rows(name, source, settings.limit), label=f"dataset {name}"):
        split = str(row.split)
        if row.reason != "left_out" and row.id in ids:
            detail = f"a row of {source.path} before has the same id"
            part.rejected.append((row.id, split, "repeated_id", detail))
            continue
        result = _keep(row, settings)
        if isinstance(result, KeptRow):
            part.kept.append(result)
            part.merged += row.merged
            ids.add(row.id)
        else:
            part.rejected.append((row.id, split, *result))
    return part


def _keep(row: Row, settings: DatasetSettings) -> KeptRow | tuple[str, str]:
    """The row in its primitive cell, or the reason and the detail why it is rejected."""
    if row.cell is None:
        return str(row.reason), str(row.error)
    highest = settings.max_e_above_hull
    if highest is not None:
        energy = row.properties.get("e_above_hull")
        if not isinstance(energy, float):
            return "above_hull", "no label e_above_hull"
        if energy > highest:
            return "above_hull", f"e_above_hull is {energy:g}, at most {highest:g} eV/atom"
    cell = primitive(row.cell, symprec=PRIMITIVE_SYMPREC)
    if len(cell.numbers) > settings.max_atoms:
        return (
            "too_many_atoms",
            f"{len(cell.numbers)} atoms in the primitive cell, at most {settings.max_atoms}",
        )
    return KeptRow.of(row, cell)


def _refuse_empty_splits(found: Selection, settings: DatasetSettings) -> None:
    filled = {row.split for row in found.kept}
    needed = NEEDED_SPLITS if "all" in found.read else found.read
    for split in SPLITS:
        if split in needed and split not in filled:
            own = [row for row in found.rejected if row[1] == split]
            reasons = Counter(reason for _, _, reason, _ in own)
            examples = "".join(f"; {name!r}: {detail[:200]}" for name, _, _, detail in own[:FIRST])
            raise ValueError(
                f"split {split!r} has no crystals; rejected: {counted(reasons)}, of the sources "
                f"{dict(settings.sources)}{examples}"
            )


def structures_table(kept: list[KeptRow]) -> pd.DataFrame:
    """The table of structures, ``structures.parquet``."""
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
