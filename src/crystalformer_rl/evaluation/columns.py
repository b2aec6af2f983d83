"""The columns of the primary table, ``evaluate/structures.parquet``: each is described here once.

A row of :data:`COLUMNS` has the name, type, unit, title, definition and summary of a column. The
evaluate stage checks the table that it writes against this list. The summary, the report,
docs/reference/columns.md and the tests read the list.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from crystalformer_rl.crystal.distances import MIN_DISTANCE_ANGSTROM
from crystalformer_rl.crystal.validity import (
    DENSITY_G_CM3,
    MIN_VOLUME_ANGSTROM3,
)
from crystalformer_rl.stability.hull import ARTEFACT_BELOW

Type = Literal["text", "flag", "integer", "number", "integers", "numbers"]
Summary = Literal["", "fraction", "mean", "counts"]

HULL, JUDGE = "comparison_hull.files", "judge.potential"


@dataclass(frozen=True)
class Column:
    """A column of the table of structures.

    Attributes
    ----------
    name
        Its name in the table and in ``summary.json``.
    type
        ``integers`` and ``numbers`` are lists. Any value may be null, except in a flag that is
        always written.
    meaning
        The definition, plain text. ``E_hull`` is the energy above hull.
    unit
        Empty for words, flags and dimensionless numbers.
    title
        What tables and figures call it; the name, unless given.
    summary
        How ``summary.json`` gives it for each policy. ``fraction``: of all sampled crystals, with
        Wilson's 95 % interval (columns of the judge: of the crystals that it evaluated). ``mean``:
        over the crystals that have the number, with Student's 95 % interval. ``counts``: the number
        of crystals with each value.
    shown
        Whether the report has it in its tables of policies.
    digits
        Decimals in the report.
    only_with
        The key of the configuration without which the table does not have the column.
    """

    name: str
    type: Type
    meaning: str
    unit: str = ""
    title: str = ""
    summary: Summary = ""
    shown: bool = False
    digits: int = 3
    only_with: str = ""

    def __post_init__(self) -> None:
        needed = {"mean": "number", "fraction": "flag"}.get(self.summary, self.type)
        if self.type != needed:
            raise ValueError(
                f"column {self.name}: summary {self.summary!r} needs the type {needed}, not "
                f"{self.type}"
            )

    @property
    def heading(self) -> str:
        """Title and unit."""
        title = self.title or self.name.replace("_", " ")
        return f"{title} ({self.unit})" if self.unit else title


@dataclass(frozen=True)
class Combined:
    """A fraction in ``summary.json`` of crystals that carry two flags of the table."""

    name: str
    flags: tuple[str, str]
    meaning: str
    title: str
    shown: bool = False
    only_with: str = ""

    @property
    def heading(self) -> str:
        """The title."""
        return self.title


_SUPPORTED = (
    "the hull of the chemical system contains a known compound in addition to the elements, and "
    f"E_hull after relaxation is at least \N{MINUS SIGN}{-ARTEFACT_BELOW:g} eV/atom"
)
_STRICT = "the same with the tolerances `evaluate.strict`"

COLUMNS: tuple[Column, ...] = (
    Column("policy", "text", "the policy that sampled the crystal, or the name of another "
           "generator (`external`)"),
    Column("id", "text", "name of the crystal, unique within its policy", title="structure"),
    Column("space_group", "integer", "space group that the policy was asked for; for another "
           "generator, that of the crystal as given, within `tokenize.symprec`, or null",
           title="space group"),
    Column("log_prob", "number", "ln p of the tokens under the policy, given the space group; "
           "null for another generator",
           "nats"),
    Column("lattice", "numbers", "cell as generated: nine numbers, one lattice vector after "
           "another", "Å"),
    Column("numbers", "integers", "atomic numbers of the sites as generated"),
    Column("positions", "numbers", "fractional coordinates as generated, three for each site"),
    Column("potential", "text", "the potential that relaxed the crystal"),
    Column("energy_initial", "number", "energy as generated, in the convention of the potential",
           "eV/atom"),
    Column("energy_final", "number", "energy after relaxation", "eV/atom"),
    Column("relaxed_lattice", "numbers", "cell after relaxation; if it failed, that of the last "
           "geometry, or null", "Å"),
    Column("relaxed_numbers", "integers", "atomic numbers of the sites after relaxation"),
    Column("relaxed_positions", "numbers", "fractional coordinates after relaxation"),
    Column("prototype", "text", "space group and Wyckoff letters of the sites as generated, such "
           "as `225 ab`; null if not decoded or without symmetry"),
    Column("formula", "text", "reduced formula"),
    Column("num_atoms", "integer", "atoms in the primitive cell", title="atoms", digits=0),
    Column("decoded", "flag", "the tokens are a crystal: its cell has a volume and its sites fit "
           "its space group; for another generator, the row could be read", summary="fraction",
           shown=True),
    Column("single_element", "flag", "all atoms are of one element", title="single elements",
           summary="fraction"),
    Column("min_distance", "number", "shortest distance between two atoms or periodic images",
           "Å"),
    Column("volume", "number", "volume of the cell", "Å³"),
    Column("density", "number", "mass density", "g/cm³", summary="mean"),
    Column("valid_distance", "flag",
           f"all atoms and periodic images are more than {MIN_DISTANCE_ANGSTROM:g} Å apart",
           summary="fraction"),
    Column("valid_volume", "flag", f"the cell is larger than {MIN_VOLUME_ANGSTROM3:g} Å³",
           summary="fraction"),
    Column("valid_structure", "flag", "`valid_distance` and `valid_volume`: CDVAE's structural "
           "validity", summary="fraction"),
    Column("valid_charge", "flag", "the oxidation states can add up to zero (SMACT, set of 2014), "
           "or the crystal is an element or an alloy: CDVAE's compositional validity",
           summary="fraction"),
    Column("valid_density", "flag", f"mass density from {DENSITY_G_CM3[0]:g} to "
           f"{DENSITY_G_CM3[1]:g} g/cm³; not a condition of `valid`", title="density",
           summary="fraction", shown=True),
    Column("valid", "flag", f"smallest distance above {MIN_DISTANCE_ANGSTROM:g} Å, volume above "
           f"{MIN_VOLUME_ANGSTROM3:g} Å³, and the charges can balance (SMACT)",
           summary="fraction", shown=True),
    Column("invalid_reason", "text", "why the crystal is not `valid`, or null"),
    Column("relax_status", "text", "`converged`, `not_converged`, or why there is no relaxed "
           "crystal", summary="counts"),
    Column("relaxed", "flag", "the relaxation of positions and cell reached its force threshold",
           summary="fraction", shown=True),
    Column("e_above_hull_initial", "number", "energy above the convex hull as generated (single "
           "point); negative below the hull", "eV/atom", "E_hull as generated", summary="mean",
           shown=True),
    Column("e_above_hull", "number", "energy above the convex hull after relaxation; negative "
           "below the hull", "eV/atom", "E_hull after relaxation", summary="mean",
           shown=True),
    Column("hull_status", "text", "`ok`, or why there is no energy above hull", summary="counts"),
    Column("hull_references", "integer", "known compositions in the chemical system, its "
           "subsystems and elements included"),
    Column("hull_compounds", "integer", "the same without the elements"),
    Column("stable_initial", "flag", "`e_above_hull_initial` is below `evaluate.stable_below`",
           title="stable as generated", summary="fraction"),
    Column("stable", "flag", "energy above hull after relaxation, converged or not, below "
           "`evaluate.stable_below`", summary="fraction", shown=True),
    Column("supported", "flag", _SUPPORTED, summary="fraction"),
    Column("unique", "flag", "the first of its kind among all decoded crystals of the policy "
           "(StructureMatcher)", summary="fraction", shown=True),
    Column("representative", "text", "id of the first crystal of its kind; null if the crystal "
           "cannot be compared"),
    Column("novel", "flag", "no crystal of the dataset matches it (StructureMatcher)",
           summary="fraction", shown=True),
    Column("matched_id", "text", "the first crystal of the dataset that matches; null if `novel`",
           title="matches"),
    Column("stable_unique", "flag", "the first of its kind among the stable crystals of the "
           "policy", summary="fraction"),
    Column("sun", "flag", "stable, the first of its kind among the stable crystals, and novel",
           title="S.U.N.", summary="fraction", shown=True),
    Column("unique_strict", "flag", f"`unique`; {_STRICT}", title="unique, strict",
           summary="fraction"),
    Column("novel_strict", "flag", f"`novel`; {_STRICT}", title="novel, strict",
           summary="fraction"),
    Column("stable_unique_strict", "flag", f"`stable_unique`; {_STRICT}", summary="fraction"),
    Column("sun_strict", "flag", f"`sun`; {_STRICT}", title="S.U.N., strict", summary="fraction"),
    Column("lemat_sun", "flag", "`unique` and `novel`, and E_hull after relaxation is at most 0: "
           "SUN of LeMat-GenBench", title="SUN (LeMat-GenBench)", summary="fraction"),
    Column("lemat_msun", "flag", "the same with E_hull above 0 and at most 0.1 eV/atom: MSUN of "
           "LeMat-GenBench", title="MSUN (LeMat-GenBench)", summary="fraction"),
    Column("nearest_known", "number", "largest difference of the average minimum distances AMD_1 "
           "to AMD_100 from those of the nearest crystal of the dataset: geometry alone, whatever "
           "the elements; null if not relaxed", "Å", "distance to the nearest "
           "known geometry", summary="mean"),
    Column("nearest_known_id", "text", "the crystal of the dataset that `nearest_known` refers "
           "to"),
    Column("comparison_e_above_hull", "number", "energy after relaxation above the comparison "
           "hull", "eV/atom", "E_hull on the comparison hull", summary="mean", only_with=HULL),
    Column("comparison_hull_status", "text", "`ok`, or why there is none", summary="counts",
           only_with=HULL),
    Column("comparison_stable", "flag", "`comparison_e_above_hull` is below "
           "`evaluate.stable_below`", title="stable on the comparison hull", summary="fraction",
           only_with=HULL),
    Column("judge_potential", "text", "the second potential, which no reward used; null, like all "
           "columns of the judge, for crystals that it did not evaluate", only_with=JUDGE),
    Column("judge_status", "text", "how the judge's relaxation ended", summary="counts",
           only_with=JUDGE),
    Column("judge_energy", "number", "energy after the judge's relaxation", "eV/atom",
           only_with=JUDGE),
    Column("judge_e_above_hull_initial", "number", "energy of the crystal as generated above the "
           "hull of the judge's energies", "eV/atom", "E_hull by the judge as generated",
           summary="mean", only_with=JUDGE),
    Column("judge_e_above_hull", "number", "energy above the hull of the judge's energies",
           "eV/atom", "E_hull by the judge", summary="mean", only_with=JUDGE),
    Column("judge_hull_status", "text", "`ok`, or why there is none", summary="counts",
           only_with=JUDGE),
    Column("judge_stable_initial", "flag", "`judge_e_above_hull_initial` is below "
           "`evaluate.stable_below`", title="stable as generated", summary="fraction",
           only_with=JUDGE),
    Column("judge_stable", "flag", "`judge_e_above_hull` is below `evaluate.stable_below`",
           title="stable", summary="fraction", only_with=JUDGE),
    Column("judge_supported", "flag", "as `supported`, on the judge's hull", only_with=JUDGE),
    Column("sun_judge", "flag", "`judge_stable`, the first of its kind among these, and `novel`",
           title="S.U.N.", summary="fraction", only_with=JUDGE),
    Column("relaxed_space_group", "integer", "space group after relaxation, found by moyo within "
           "0.1 Å; null if not relaxed", title="space group after relaxation"),
    Column("space_group_kept", "flag", "`relaxed_space_group` is `space_group`",
           title="space group kept", summary="fraction"),
    Column("relaxed_p1", "flag", "`relaxed_space_group` is 1", title="P 1 after relaxation",
           summary="fraction"),
    Column("rmsd", "number", "root-mean-square displacement of the atoms by relaxation, as "
           "MatterGen reports it; null if not relaxed", "Å", "moved by relaxation",
           summary="mean", shown=True),
    Column("rmsd_matched", "flag", "the atoms before and after could be aligned; otherwise `rmsd` "
           "is the largest value that counts", summary="fraction"),
    Column("band_gap", "number", "band gap predicted for the relaxed crystal", "eV", "band gap",
           summary="mean", shown=True, digits=2),
    Column("band_gap_std", "number", "standard deviation of the ensemble", "eV", digits=2),
    Column("dielectric", "number", "electronic dielectric constant predicted for the relaxed "
           "crystal", title="dielectric constant", summary="mean", shown=True, digits=2),
    Column("dielectric_std", "number", "standard deviation of the ensemble", digits=2),
    Column("figure_of_merit", "number", "band gap × electronic dielectric constant, both "
           "predicted", "eV", "figure of merit", summary="mean", shown=True, digits=2),
    Column("failure", "text", "the first stage that failed the crystal, as `stage: reason`, or "
           "null", summary="counts"),
)  # fmt: skip

COMBINED: tuple[Combined, ...] = (
    Combined("sun_supported", ("sun", "supported"), f"S.U.N., and {_SUPPORTED}",
             "S.U.N., supported", shown=True),
    Combined("sun_judge_supported", ("sun_judge", "judge_supported"), "S.U.N. by the judge, and "
             "supported on its hull", "S.U.N., supported", only_with=JUDGE),
)  # fmt: skip

BY_NAME: Mapping[str, Column | Combined] = {
    **{column.name: column for column in COLUMNS},
    **{combined.name: combined for combined in COMBINED},
}


def title_of(name: str) -> str:
    """The title of a column among others; for a column of the judge it says so.

    >>> title_of("stable"), title_of("judge_stable"), title_of("judge_energy")
    ('stable', 'stable, by the judge', 'judge energy')
    """
    column = BY_NAME[name]
    title = column.title or name.replace("_", " ")
    return title + (", by the judge" if column.only_with == JUDGE and "judge" not in title else "")


def summarised(how: Summary, *, only_with: str = "") -> tuple[str, ...]:
    """Names of the columns that ``summary.json`` gives as ``how``."""
    return tuple(c.name for c in COLUMNS if (c.summary, c.only_with) == (how, only_with))


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its columns in the order of :data:`COLUMNS`, unknown ones at the end."""
    places = {column.name: place for place, column in enumerate(COLUMNS)}
    return table[sorted(table, key=lambda name: places.get(str(name), len(places)))]


def keys_of(table: pd.DataFrame) -> set[str]:
    """The keys of the configuration, of :attr:`Column.only_with`, that a table has columns of."""
    return {column.only_with for column in COLUMNS if column.name in table} - {""}


def check(table: pd.DataFrame, *, keys: Collection[str] = ()) -> None:
    """Refuse a table that does not have the columns of :data:`COLUMNS`, in order and type.

    Parameters
    ----------
    table
        What the evaluate stage is about to write.
    keys
        The keys of the configuration, of :attr:`Column.only_with`, that are set.

    Raises
    ------
    ValueError
        If a column is missing, unknown, out of order, or of another type. A column in
        which every value is null fits every type.
    """
    wanted = [column for column in COLUMNS if column.only_with in ("", *keys)]
    names, given = [column.name for column in wanted], list(table.columns)
    if given != names:
        missing, unknown = set(names) - set(given), set(given) - set(names)
        what = (
            f"lacks {sorted(missing)} and has the unknown columns {sorted(unknown)}"
            if missing or unknown
            else f"has its columns in the order {given}"
        )
        raise ValueError(f"the table of structures {what}: adapt evaluation/columns.py")
    for column in wanted:
        known = table[column.name].dropna()
        if len(known) and not _is(column.type, known):
            raise ValueError(
                f"the column {column.name!r} must be of the type {column.type!r}, "
                f"it is {table[column.name].dtype}: adapt evaluation/columns.py"
            )


def _is(type_: Type, known: pd.Series) -> bool:
    """Whether values that are not null are of the type, whatever the dtype of their column is."""
    if type_ in _OF_SCALARS:
        return bool(infer_dtype(known) == _OF_SCALARS[type_])
    kinds = {"integers": "iu", "numbers": "f"}[type_]
    return all(np.asarray(value).dtype.kind in kinds for value in known)


_OF_SCALARS: Mapping[str, str] = {
    "text": "string", "flag": "boolean", "integer": "integer", "number": "floating",
}  # fmt: skip
