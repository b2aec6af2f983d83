"""The known crystals of a dataset."""

from pathlib import Path

from crystalformer_rl.files import read_table


def formulas_of(dataset: Path) -> frozenset[str]:
    """The reduced formulas in the table of the dataset stage, of all its splits."""
    return frozenset(read_table(dataset, columns=["formula"])["formula"])
