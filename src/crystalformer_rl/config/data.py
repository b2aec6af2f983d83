"""Sections of the data: dataset, hull, tokens."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from crystalformer_rl.config.fields import (
    PositiveFloat,
    PositiveInt,
    PotentialName,
    Section,
    without_nulls,
)


class DatasetSettings(Section):
    """Where the crystals come from, and which are kept."""

    sources: dict[Literal["train", "val", "test", "all"], str] = Field(
        default={"all": "resources/embedded/crystals.parquet"},
        description="File or folder per split (csv, csv.gz, csv.xz, parquet, extxyz or a folder of "
        "CIFs); `all` is one source whose `split` column names the split of each row, or which is "
        "split 80/10/10 by a hash of the row's id. In an overlay, null takes a source away.",
    )
    max_atoms: PositiveInt = Field(
        default=20, description="Reject crystals with more atoms in the primitive cell."
    )
    limit: PositiveInt | None = Field(
        default=None, description="Keep only the first so many rows of each split (for a trial)."
    )

    @field_validator("sources", mode="before")
    @classmethod
    def _null_removes(cls, value: Any) -> Any:
        return without_nulls(value)

    @model_validator(mode="after")
    def _one_or_every_split(self) -> "DatasetSettings":
        if set(self.sources) not in ({"all"}, {"train", "val", "test"}):
            raise ValueError(
                f"sources has {', '.join(self.sources) or 'none'}: give either `all` alone or each "
                "of train, val and test (null takes one away)"
            )
        return self


class HullSettings(Section):
    """The convex hull that energies are measured from."""

    reference: Literal["dataset", "csv"] = Field(
        default="dataset",
        description="`dataset`: the potential's energies of the dataset's structures and of the "
        "elements, consistent with the rewards; `csv`: formation energies from `csv_path`.",
    )
    csv_path: str | None = Field(
        default=None,
        description="CSV with columns formula, formation_energy_per_atom (eV/atom, elements at 0).",
    )
    potential: PotentialName = Field(
        default="chgnet", description="Potential whose energies are placed on this hull."
    )

    @model_validator(mode="after")
    def _csv_needs_a_path(self) -> "HullSettings":
        if (self.reference == "csv") != (self.csv_path is not None):
            raise ValueError("csv_path must be given exactly when reference is 'csv'")
        return self


class TokenizeSettings(Section):
    """How a structure becomes tokens."""

    symprec: PositiveFloat = Field(default=0.01, description="Symmetry tolerance, Å.")
    max_sites: PositiveInt = Field(
        default=20, le=60, description="Reject crystals with more symmetry-inequivalent sites."
    )
