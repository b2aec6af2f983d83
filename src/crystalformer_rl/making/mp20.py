"""``embed``: pack MP-20 and the Materials Project's formation energies for the repository.

The crystals are packed as the decimals of their CIFs, which are an eighth of the size of the CIFs
themselves: reading the packed table gives the structures that reading the CIFs gives.
"""

import argparse
import logging
import lzma
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from crystalformer_rl.crystal.labels import energy_column
from crystalformer_rl.crystal.readers import read_crystals
from crystalformer_rl.crystal.rows import Row
from crystalformer_rl.crystal.structures import SPLITS
from crystalformer_rl.csv_tables import load_csv
from crystalformer_rl.files import atomic
from crystalformer_rl.jobs.progress import progress
from crystalformer_rl.jobs.provenance import Provenance

ENERGY = pa.decimal128(9, 6)
COORDINATE = pa.decimal128(9, 8)
CELL_PARAMETER = pa.decimal128(11, 8)
LABELS = ("formation_energy_per_atom", "e_above_hull", "band_gap")
ENERGIES = {"chgnet": "chgnet_energy_per_atom", "sevennet": "sevennet_energy_per_atom"}
"""Potentials, and the columns of the file of energies that hold theirs."""

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    for split in SPLITS:
        parser.add_argument(
            f"--{split}", type=Path, required=True, help=f"CSV of the {split} split, with CIFs"
        )
    parser.add_argument(
        "--energies",
        type=Path,
        required=True,
        help=f"CSV with material_id and {', '.join(ENERGIES.values())}, eV/atom",
    )
    parser.add_argument(
        "--formation-energies",
        type=Path,
        required=True,
        help="CSV with formula, formation_energy_per_atom (eV/atom) and source, for a hull",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(args: argparse.Namespace) -> None:
    """Write ``crystals.parquet``, ``formation_energies.csv.xz`` and ``provenance.json``.

    Raises
    ------
    ValueError
        If a crystal cannot be read, or lacks an energy.
    """
    paths = {split: getattr(args, split) for split in SPLITS}
    provenance = Provenance(
        __name__,
        settings={},
        inputs=paths | {"energies": args.energies, "formation_energies": args.formation_energies},
    )
    rows = [
        (split, row)
        for split, path in paths.items()
        for row in progress(read_crystals(path), label=f"read {path.name}")
    ]
    sources = [name for path in paths.values() for name in _sources(path)]
    table = packed([row for _, row in rows], energies=_energies(args.energies))
    table = table.append_column("split", pa.array([split for split, _ in rows]))
    table = table.append_column("source", pa.array(sources))
    write_packed(args.out / "crystals.parquet", table)
    count = _write_formation_energies(
        args.formation_energies, args.out / "formation_energies.csv.xz"
    )
    provenance.write(args.out / "provenance.json", items=len(rows), formation_energies=count)


def packed(rows: Sequence[Row], *, energies: pd.DataFrame) -> pa.Table:
    """The table of n crystals, without their splits.

    Parameters
    ----------
    energies
        By id, one column per potential, eV/atom.

    Returns
    -------
    pyarrow.Table
        ``id``; ``lattice``: a, b, c (Å), α, β, γ (degrees) to 1e-8; ``numbers``; ``positions``,
        fractional, to 1e-8; labels and energies (eV, per atom) to 1e-6, null where unknown.

    Raises
    ------
    ValueError
        If a crystal has no structure, or an energy is missing.
    """
    crystals = []
    for row in rows:
        if row.structure is None:
            raise ValueError(f"{row.id}: {row.reason}: {row.error}")
        crystals.append(row.structure)
    ids = [row.id for row in rows]
    if missing := [name for name in ids if name not in energies.index]:
        raise ValueError(f"no energies of {len(missing)} crystals: {', '.join(missing[:3])}")
    known = energies.loc[ids]
    sizes = [len(crystal) for crystal in crystals]
    return pa.table(
        {
            "id": ids,
            "lattice": _lists(
                np.concatenate([crystal.lattice.parameters for crystal in crystals]),
                [6] * len(crystals),
                CELL_PARAMETER,
            ),
            "numbers": _lists(
                np.concatenate([crystal.atomic_numbers for crystal in crystals]), sizes, pa.uint8()
            ),
            "positions": _lists(
                np.concatenate([crystal.frac_coords.ravel() for crystal in crystals]),
                [3 * size for size in sizes],
                COORDINATE,
            ),
            **{name: _decimals([row.properties.get(name) for row in rows]) for name in LABELS},
            **{
                energy_column(potential): _decimals(known[column].astype(float).tolist())
                for potential, column in ENERGIES.items()
            },
        }
    )


def write_packed(path: Path, table: pa.Table) -> None:
    """Write a table as small as parquet can be."""
    with atomic(path) as temporary:
        pa.parquet.write_table(
            table,
            temporary,
            compression="brotli",
            compression_level=11,
            use_dictionary=["split", "source"],
            store_decimal_as_integer=True,
            write_statistics=False,
            row_group_size=len(table),
            data_page_size=2**28,
        )


def _lists(values: NDArray[np.generic], sizes: Sequence[int], kind: pa.DataType) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values).cast(kind))


def _decimals(values: Sequence[object]) -> pa.Array:
    return pa.array(values, type=pa.float64()).cast(ENERGY)


def _sources(path: Path) -> list[str | None]:
    """Where each row of a reconstructed split comes from; None where the split is official."""
    table = load_csv(path, names=("material_id",))
    return list(table.columns.get("source", [None] * len(table)))


def _energies(path: Path) -> pd.DataFrame:
    table = load_csv(path, names=("material_id",))
    return pd.DataFrame(dict(table.columns)).set_index("material_id")


def _write_formation_energies(source: Path, target: Path) -> int:
    """Pack a table of formation energies, to 1e-6 eV/atom and sorted by formula."""
    table = pd.DataFrame(dict(load_csv(source, names=("formula",)).columns))
    energies = table["formation_energy_per_atom"].astype(float)
    table = table.assign(formation_energy_per_atom=energies.map("{:.6f}".format))
    chosen = table[["formula", "formation_energy_per_atom", "source"]]
    text = chosen.sort_values("formula", kind="stable").to_csv(index=False)
    with atomic(target) as temporary:
        temporary.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    return len(table)
