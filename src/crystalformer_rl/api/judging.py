"""Judging crystals, from Python."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from crystalformer_rl.api.crystals import Crystals
from crystalformer_rl.crystal.structures import structure_columns
from crystalformer_rl.files import read_table, write_table
from crystalformer_rl.tools.judge import call

Judged = Crystals | Sequence[Structure | Atoms | None] | Path | str


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
        What a policy has sampled, structures of pymatgen or ASE (None counts as a failure), or the
        path of a file or folder.
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


def _written(crystals: Crystals | Sequence[Structure | Atoms | None], folder: Path) -> Path:
    """A table of the crystals, for the verb to read."""
    path = folder / "crystals.parquet"
    if isinstance(crystals, Crystals):
        write_table(path, crystals.table)
        return path
    structures = [
        AseAtomsAdaptor.get_structure(one) if isinstance(one, Atoms) else one for one in crystals
    ]
    ids = [f"{place:04d}" for place in range(len(structures))]
    write_table(path, pd.DataFrame({"id": ids, **structure_columns(structures)}))
    return path
