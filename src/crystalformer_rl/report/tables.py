"""The numbers on the page: shares and means from the summary, the rest from the table.

All statistics come from the evaluation's summary; here they are only carried, counted and put in
order. A failed structure stays in every denominator: a missing flag counts as no.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymatgen.symmetry.groups import sg_symbol_from_int_number

SHARES = (
    "decoded", "valid", "valid_density", "relaxed", "stable", "unique", "novel", "sun",
    "sun_supported",
)  # fmt: skip
KINDS = ("formulas", "chemical_systems", "elements", "space_groups", "prototypes")
STRICT = ("unique", "novel", "sun")  # shares that are also given by strict tolerances
ARTEFACT_BELOW = -0.1  # eV/atom; a formation energy this far below the hull is a likely artefact

_STAGES = ("decode", "validity", "relax", "hull", "match", "properties")
_CHECKS = ("distance", "volume", "charge", "density")

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Share:
    """``k`` of ``n`` with its 95 % Wilson interval (NaN where n = 0)."""

    k: int
    n: int
    low: float
    high: float

    @property
    def fraction(self) -> float:
        """k/n; 0 of an empty sample."""
        return self.k / self.n if self.n else 0.0


@dataclass(frozen=True)
class Mean:
    """A mean of ``n`` numbers, its 95 % interval, and their median; NaN where there is none."""

    value: float
    low: float
    high: float
    median: float
    n: int


def share(summary: Summary, policy: str, flag_name: str) -> Share:
    """A fraction of a policy, as the evaluation's summary has it."""
    return share_of(summary["policies"][policy]["fractions"][flag_name])


def mean(summary: Summary, policy: str, name: str) -> Mean:
    """A mean of a policy, as the evaluation's summary has it."""
    entry = summary["policies"][policy]["numbers"][name]
    value, low, high, median = (
        np.nan if entry[key] is None else float(entry[key])
        for key in ("mean", "low", "high", "median")
    )
    return Mean(value=value, low=low, high=high, median=median, n=int(entry["n"]))


def policies_of(summary: Summary) -> list[str]:
    """The policies in the order of the evaluation."""
    return list(summary["policies"])


def share_of(entry: Mapping[str, Any]) -> Share:
    """A fraction as a summary writes it."""
    low, high = (np.nan if entry[key] is None else float(entry[key]) for key in ("low", "high"))
    return Share(k=int(entry["k"]), n=int(entry["n"]), low=low, high=high)


def flag(table: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    """(n,) a yes-or-no column; False where it is null or the column is missing."""
    if name not in table:
        return np.zeros(len(table), dtype=bool)
    return np.array([not pd.isna(value) and bool(value) for value in table[name]], dtype=bool)


def numbers(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """(n,) a column of numbers; NaN where it is null or not a number, or the column is missing."""
    if name not in table:
        return np.full(len(table), np.nan)
    column = pd.to_numeric(table[name], errors="coerce")
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def text(table: pd.DataFrame, name: str) -> list[str | None]:
    """(n,) a column of words; None where it is null or the column is missing."""
    if name not in table:
        return [None] * len(table)
    return [None if pd.isna(value) else str(value) for value in table[name]]


def by_policy(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each policy."""
    return {str(name): table[table["policy"] == name] for name in table["policy"].unique()}


def funnel(rows: pd.DataFrame) -> dict[str, int]:
    """How many rows pass the tests one after another; the last number is the S.U.N. count.

    Judged means that the relaxed crystal has an energy above hull, also where the relaxation ran
    out of steps. Unique means among the stable ones.
    """
    steps = {
        "decoded": flag(rows, "decoded"),
        "judged": np.isfinite(numbers(rows, "e_above_hull")),
        "stable": flag(rows, "stable"),
        "unique": flag(rows, "stable_unique"),
        "novel": flag(rows, "sun"),
    }
    counts, alive = {"sampled": len(rows)}, np.ones(len(rows), dtype=bool)
    for name, passed in steps.items():
        alive &= passed
        counts[name] = int(alive.sum())
    return counts


def group_label(number: int) -> str:
    """Number and symbol of a space group, such as ``194 P6₃/mmc``."""
    symbol = sg_symbol_from_int_number(number)
    return f"{number} {re.sub(r'_([0-9])', lambda m: chr(0x2080 + int(m[1])), symbol)}"


def sun_by_group(summary: Summary, *, groups: int) -> dict[str, dict[str, Share]]:
    """S.U.N. share per space group and policy, of the most sampled groups in order of number."""
    shares = {
        policy: {
            int(number): share_of(part["sun"]) for number, part in entry["space_groups"].items()
        }
        for policy, entry in summary["policies"].items()
    }
    sampled: dict[int, int] = {}
    for of_policy in shares.values():
        for number, part in of_policy.items():
            sampled[number] = sampled.get(number, 0) + part.n
    most = sorted(sorted(sampled, key=lambda number: (-sampled[number], number))[:groups])
    return {
        group_label(number): {
            policy: of_policy[number] for policy, of_policy in shares.items() if number in of_policy
        }
        for number in most
    }


def failures(table: pd.DataFrame) -> pd.DataFrame:
    """The ledger: policy, stage, reason, count, sampled; one row per kind that occurred.

    From the column ``failure``, the first stage that failed a crystal, and beside it what did not
    end its way but is no success: a failed validity check, a relaxation that ran out of steps. A
    crystal can stand in several rows. Numbers within a reason are left out, so that the same kind
    of failure is one row.
    """
    counts: dict[tuple[str, str, str], int] = {}
    sampled: dict[str, int] = {}
    for policy, rows in by_policy(table).items():
        sampled[policy] = len(rows)
        decoded, kinds = flag(rows, "decoded"), [("validity", f"{n} check") for n in _CHECKS]
        found = [_split(failure) for failure in text(rows, "failure") if failure]
        for name, kind in zip(_CHECKS, kinds, strict=True):
            found += [kind] * int((decoded & ~flag(rows, f"valid_{name}")).sum())
        unfinished = text(rows, "relax_status").count("not_converged")
        found += [("relax", "out of steps, judged as it stands")] * unfinished
        for stage, reason in found:
            key = (policy, stage, reason)
            counts[key] = counts.get(key, 0) + 1
    stages = {stage: place for place, stage in enumerate(_STAGES)}
    order = sorted(
        counts, key=lambda k: (list(sampled).index(k[0]), stages.get(k[1], 99), -counts[k], k[2])
    )
    return pd.DataFrame(
        [[*key, counts[key], sampled[key[0]]] for key in order],
        columns=["policy", "stage", "reason", "count", "sampled"],
    )


def _split(failure: str) -> tuple[str, str]:
    """Stage and reason of ``stage: reason``, without the numbers in the reason."""
    stage, _, reason = failure.partition(": ")
    return stage, re.sub(r"(?<![\w.])[-−]?\d+(\.\d+)?(e[-+]?\d+)?(?![\w])", "…", reason)


def best(table: pd.DataFrame, *, by: str, among: str, count: int, descending: bool) -> pd.DataFrame:
    """The ``count`` best rows carrying the flag ``among``, by the column ``by``, ties by id.

    The same formula in the same space group found by several policies, or twice, is listed once;
    the column ``found_by`` names the policies.
    """
    known = np.isfinite(numbers(table, by)) & table["formula"].notna().to_numpy()
    chosen = table[flag(table, among) & known]
    order = np.argsort((-1 if descending else 1) * numbers(chosen, by), kind="stable")
    chosen = chosen.iloc[order]
    key = ["formula", "space_group"]
    first = chosen.drop_duplicates(key).head(count).copy()
    groups = chosen.groupby(key)["policy"].unique()
    first["found_by"] = [
        ", ".join(groups[pair]) for pair in zip(*(first[k] for k in key), strict=True)
    ]
    return first


def policy_table(summary: Summary) -> pd.DataFrame:
    """One row per policy and quantity: the numbers behind the page's first tables, for a CSV."""
    records: list[dict[str, Any]] = []
    for policy, entry in summary["policies"].items():
        records += [
            {"policy": policy, "quantity": name, **part}
            for name, part in entry["fractions"].items()
        ]
        records += [
            {"policy": policy, "quantity": f"mean_{name}", **part}
            for name, part in entry["numbers"].items()
        ]
    columns = ["policy", "quantity", "k", "n", "fraction", "mean", "low", "high", "median"]
    return pd.DataFrame(records, columns=columns)


def diversity_table(summary: Summary) -> pd.DataFrame:
    """Distinct kinds, their effective number and their coverage, per policy, for a CSV."""
    rows = [
        {
            "policy": policy,
            "kind": kind,
            "crystals": entry["diversity"]["crystals"],
            **{name: entry["diversity"][kind][name] for name in ("distinct", "effective")},
            **(entry["diversity"][kind]["coverage"] or {}),
        }
        for policy, entry in summary["policies"].items()
        for kind in KINDS
    ]
    columns = ["policy", "kind", "crystals", "distinct", "effective"]
    return pd.DataFrame(rows, columns=[*columns, "covered", "of", "fraction", "expected"])


def group_table(summary: Summary) -> pd.DataFrame:
    """S.U.N. per space group and policy, all groups, for a CSV."""
    rows = [
        [label, policy, part.k, part.n, part.fraction, part.low, part.high]
        for label, group in sun_by_group(summary, groups=230).items()
        for policy, part in group.items()
    ]
    columns = ["space_group", "policy", "k", "n", "fraction", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def funnel_table(funnels: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    """Counts of the funnel, for a CSV."""
    rows = [[policy, step, k] for policy, steps in funnels.items() for step, k in steps.items()]
    return pd.DataFrame(rows, columns=["policy", "step", "count"])
