"""Sections of the data: dataset, hull, tokens."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from crystalformer_rl.config.fields import (
    FilePath,
    PositiveFloat,
    PositiveInt,
    PotentialName,
    Section,
    without_nulls,
)
from crystalformer_rl.config.potentials import FORMS


class DatasetSettings(Section):
    """Where the crystals come from, and which are kept."""

    sources: dict[Literal["train", "val", "test", "all"], FilePath] = Field(
        default={"all": "resources/embedded/crystals.parquet"},
        description="File or folder per split (csv, csv.gz, csv.xz, parquet, extxyz or a folder of "
        "CIFs); `all` is one source whose `split` column names the split of each row, or which is "
        "split 80/10/10 by a hash of the row's id. In an overlay, null takes a source away.",
    )
    max_atoms: PositiveInt = Field(
        default=20, description="Reject crystals with more atoms in the primitive cell."
    )
    merge_below: PositiveFloat = Field(
        default=0.1,
        description="Å; images of a site of a CIF closer than this are one atom on a special "
        "position: 0.333 is 1/3.",
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

    reference: Literal["dataset", "csv", "entries", "alexandria"] = Field(
        default="dataset",
        description="`dataset`: the potential's energies of the dataset's structures and of the "
        "elements, consistent with the rewards; or energies from `files`: `csv`: formation "
        "energies; `entries`: pymatgen's entries; `alexandria`: convex_hull_pbe_*.json.bz2.",
    )
    files: list[FilePath] = Field(
        default=[],
        description="CSV (.csv, .csv.gz, .csv.bz2, .csv.xz) with columns formula, "
        "formation_energy_per_atom (eV/atom, elements at 0), or JSON (.json, .json.gz, "
        ".json.bz2); all corrected alike.",
    )
    potential: PotentialName = Field(
        default="chgnet",
        description="Potential whose energies are compared with this hull: "
        f"{', '.join(FORMS[:-1])} or {FORMS[-1]}.",
    )

    min_references: PositiveInt | None = Field(
        default=None,
        description="Give no energy above hull (`hull_status` is sparse) in chemical systems with "
        "fewer known compositions, those of subsystems and the elements included.",
    )
    exclude_ytterbium: bool = Field(
        default=True,
        description="Give no energy above hull to crystals with Yb (`hull_status` is ytterbium): "
        "the Materials Project's pseudopotential for it is wrong for Yb3+ "
        "(docs/explanation/hulls.md).",
    )

    @model_validator(mode="after")
    def _files_unless_dataset(self) -> "HullSettings":
        if (self.reference == "dataset") == bool(self.files):
            raise ValueError(
                f"files has {len(self.files)} entries: reference '{self.reference}' takes "
                + ("none" if self.reference == "dataset" else "at least one")
            )
        return self


class ComparisonHullSettings(Section):
    """A hull of known energies that stands beside the first one in the table of structures."""

    reference: Literal["csv", "entries", "alexandria"] = Field(
        default="csv", description="What the files are, as in `hull.reference`."
    )
    files: list[FilePath] = Field(
        default=[], description="As in `hull.files`; [] for no comparison hull."
    )


class TokenizeSettings(Section):
    """How a structure becomes tokens."""

    symprec: PositiveFloat = Field(default=0.01, description="Symmetry tolerance, Å.")
    max_sites: PositiveInt = Field(
        default=20, le=60, description="Reject crystals with more symmetry-inequivalent sites."
    )
