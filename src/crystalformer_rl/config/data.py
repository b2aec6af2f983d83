"""Sections of the data: dataset, hull, tokens."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from crystalformer_rl.config.fields import (
    FilePath,
    Neutral,
    PositiveFloat,
    PositiveInt,
    PotentialName,
    Section,
    without_nulls,
)
from crystalformer_rl.config.potentials import FORMS

Corrections = Literal["MP2020", "TRI2024"]


class DatasetSettings(Section):
    """The source of the crystals, and which of them are kept."""

    sources: dict[Literal["train", "val", "test", "all"], FilePath] = Field(
        default={"all": "resources/mp20/crystals.parquet"},
        description="File or folder per split (csv, csv.gz, csv.xz, parquet, extxyz, a folder of "
        "CIFs, or json, json.bz2 of pymatgen's entries). `all` is a single source: its column "
        "`split` gives the split of each row, or it is split 80/10/10 by a hash of the id. In an "
        "overlay, null removes a source.",
    )
    max_atoms: PositiveInt = Field(
        default=20, description="Reject crystals with more atoms in the primitive cell."
    )
    max_e_above_hull: Annotated[float | None, Neutral(None)] = Field(
        default=None,
        description="Reject crystals whose label `e_above_hull` is above this, eV/atom, or "
        "missing; null: keep all.",
    )
    merge_below: PositiveFloat = Field(
        default=0.1,
        description="Symmetry images of a CIF site that are closer than this are merged into one "
        "atom, Å; a coordinate 0.333 on a threefold axis then means 1/3.",
    )
    limit: PositiveInt | None = Field(
        default=None,
        description="Keep only the first N rows of each split (for a trial); null: all.",
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
                "of train, val and test (null removes one)"
            )
        return self


class HullSettings(Section):
    """The convex hull to which energies above hull refer."""

    reference: Literal["dataset", "csv", "entries", "alexandria"] = Field(
        default="dataset",
        description="`dataset`: energies of the dataset's structures and of the elements by the "
        "potential, consistent with the rewards. Or energies from `files`: `csv`: formation "
        "energies; `entries`: pymatgen entries; `alexandria`: convex_hull_pbe_*.json.bz2.",
    )
    files: list[FilePath] = Field(
        default=[],
        description="CSV (.csv, .csv.gz, .csv.bz2, .csv.xz) with columns formula, "
        "formation_energy_per_atom (eV/atom, elements at 0), or JSON (.json, .json.gz, "
        ".json.bz2). All files must use the same corrections.",
    )
    corrections: Annotated[Corrections, Neutral("MP2020")] = Field(
        default="MP2020",
        description="Corrections of the energies on this hull: `MP2020` of the Materials Project, "
        "or `TRI2024`, which MatterGen recommends (docs/explanation/hulls.md). Energies of the "
        "potential are converted; `files` must have them already.",
    )
    potential: PotentialName = Field(
        default="chgnet",
        description="Potential whose energies are compared with this hull: "
        f"{', '.join(FORMS[:-1])} or {FORMS[-1]}.",
    )

    shards: Annotated[int, Field(ge=1, le=256), Neutral(1)] = Field(
        default=1,
        description="Number of jobs that compute the energies that the dataset does not have, for "
        "this hull and as many for the judge's. A change computes no energy again, but the hulls "
        "and what follows run again.",
    )
    min_references: PositiveInt | None = Field(
        default=None,
        description="Minimum number of known compositions in a chemical system, including those of "
        "its subsystems and the elements. With fewer, there is no energy above hull "
        "(`hull_status` is sparse). null: no minimum.",
    )
    exclude_ytterbium: bool = Field(
        default=True,
        description="Give no energy above hull for crystals with Yb (`hull_status` is ytterbium): "
        "the Materials Project's pseudopotential is wrong for Yb3+ "
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
    """A second hull of known energies, with its own columns in the table of structures."""

    reference: Literal["csv", "entries", "alexandria"] = Field(
        default="csv", description="Kind of the files, as in `hull.reference`."
    )
    files: list[FilePath] = Field(
        default=["resources/mp20/formation_energies.csv.xz"],
        description="As in `hull.files`; [] for no comparison hull.",
    )
    corrections: Annotated[Corrections, Neutral("MP2020")] = Field(
        default="MP2020",
        description="Corrections of the energies in the files, as in `hull.corrections`.",
    )


class TokenizeSettings(Section):
    """Conversion of structures to tokens."""

    symprec: PositiveFloat = Field(default=0.01, description="Symmetry tolerance, Å.")
    max_sites: PositiveInt = Field(
        default=20, le=60, description="Reject crystals with more symmetry-inequivalent sites."
    )
