"""The record that is stored with the weights of a property model; needs no torch."""

from dataclasses import dataclass
from pathlib import Path

from crystalformer_rl.files import read_json


@dataclass(frozen=True)
class HeldOut:
    """Errors of an ensemble on the rows of the test split, which it never saw.

    Attributes
    ----------
    rows
        How many.
    within
        How many of them differ from the prediction by at most its standard deviation.
    mae
        Mean absolute error, in the unit of the property.
    rank
        Spearman correlation of the standard deviation with the absolute error.
    std_scale
        The factor from the standard deviation of the members to the one that is given.
    """

    rows: int
    within: int
    mae: float
    rank: float
    std_scale: float


def held_out(name: str) -> HeldOut:
    """The record of ``band_gap`` (eV) or ``dielectric``."""
    record = read_json(Path(__file__).with_name(f"{name}.json"))
    test = record["errors"]["test"]
    rows = round(test["rows"])
    return HeldOut(
        rows, round(test["coverage"] * rows), test["mae"], test["spearman_error_std"],
        record["std_scale"],
    )  # fmt: skip
