"""Judging crystals, from Python."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pandas as pd
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalformer_rl.api.crystals import Crystals
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.tools.judge import call

Given: TypeAlias = Structure | Atoms | None
Judged: TypeAlias = Crystals | Sequence[Given] | Structure | Atoms | Path | str


def judge(
    crystals: Judged,
    *,
    quick: bool = False,
    out: Path | str | None = None,
    reference: Path | str | None = None,
    name: str = "crystals",
    processes: int | None = None,
) -> pd.DataFrame:
    """Evaluate crystals as ``crystalformer-rl judge`` does: a row per crystal, failures included.

    CHGNet relaxes them and places them on its hull of MP-20, and SevenNet judges the result. Each
    is compared with the others and with MP-20.

    Parameters
    ----------
    crystals
        What a policy has sampled, one or more structures of pymatgen or ASE, or the path of a file
        or folder. None and Atoms without a cell count as failures.
    quick
        Whether to judge the crystals as they are, without relaxation.
    out
        Folder for the page and the tables behind it; None: they are not kept.
    reference
        Folder with other known crystals, as ``--reference`` of the verb.
    name
        Name of the generator on the page.
    processes
        Worker processes; None: one per available core.

    Returns
    -------
    DataFrame
        The columns of the page's table, which docs/reference/columns.md explains.

    Raises
    ------
    FileNotFoundError, ValueError
        If the crystals or the reference cannot be read, or there is no crystal.
    TypeError
        If a crystal is of another type.
    """
    options = {"reference": reference, "processes": processes}
    words = [f"--{key}={value}" for key, value in options.items() if value is not None]
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = work / "judged" if out is None else Path(out)
        source = Path(crystals) if isinstance(crystals, Path | str) else _written(crystals, work)
        quickly = ["--quick"] if quick else []
        call("judge", source, "--out", place, "--name", name, *words, *quickly)
        return read_table(place / "evaluate/structures.parquet")


def _written(crystals: Crystals | Sequence[Given] | Structure | Atoms, folder: Path) -> Path:
    """A table of the crystals, for the verb to read."""
    path = folder / "crystals.parquet"
    if isinstance(crystals, Crystals):
        write_table(path, crystals.table)
        return path
    several = [crystals] if isinstance(crystals, Structure | Atoms) else crystals
    # Not as arrays: the reader says what is wrong with a crystal that they cannot hold.
    texts = [None if (one := _structure(given)) is None else one.to_json() for given in several]
    ids = [f"{place:04d}" for place in range(len(texts))]
    write_table(path, pd.DataFrame({"id": ids, "structure": pd.Series(texts, dtype="string")}))
    return path


def _structure(given: Given) -> Structure | None:
    if isinstance(given, Atoms):
        return AseAtomsAdaptor.get_structure(given) if given.cell.rank == 3 else None
    if given is None or isinstance(given, Structure):
        return given
    raise TypeError(f"{type(given).__name__}: give a Structure of pymatgen or Atoms of ASE")
