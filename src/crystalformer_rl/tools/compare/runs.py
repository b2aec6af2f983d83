"""The comparison of several runs, as tables."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crystalformer_rl.config import read
from crystalformer_rl.evaluation.intervals import difference_of_fractions, mean_interval
from crystalformer_rl.files import read_json, read_table
from crystalformer_rl.layout import RESULTS, SETTINGS, Layout, started_runs
from crystalformer_rl.report.run import joined
from crystalformer_rl.report.sections.differences import BASE
from crystalformer_rl.report.values import Share

FRACTIONS = (
    "decoded", "valid", "stable_initial", "stable", "unique", "novel", "sun", "sun_supported",
)  # fmt: skip
OF_THE_JUDGE = ("judge_stable_initial", "judge_stable", "sun_judge", "sun_judge_supported")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """A run that has been evaluated.

    Attributes
    ----------
    settings
        Its settings by their paths, such as ``rl.ehull.tau``.
    policies
        The summary of each policy.
    histories
        The history of the training of each policy that this run has trained, its rounds as one
        table.
    """

    name: str
    settings: Mapping[str, Any]
    policies: Mapping[str, Mapping[str, Any]]
    histories: Mapping[str, pd.DataFrame]

    def shares(self, policy: str) -> dict[str, Share]:
        """The fractions of a policy, those by the judge among them."""
        entry = self.policies[policy]
        judge = (entry.get("judge") or {}).get("fractions", {})
        return {
            name: Share.of(source[name])
            for names, source in ((FRACTIONS, entry["fractions"]), (OF_THE_JUDGE, judge))
            for name in names
            if name in source
        }


def load(name: str) -> Finished:
    """Read a run by its name or its folder.

    Raises
    ------
    FileNotFoundError
        If there is no such run, or it has not been evaluated yet.
    """
    own = Path(RESULTS) / name
    folder = own if own.is_dir() else Path(name)
    if not folder.is_dir():
        there = ", ".join(sorted(path.parent.name for path in started_runs()))
        raise FileNotFoundError(f"{name}: no such run or folder; {RESULTS}/ has {there or 'none'}")
    summary = folder / "evaluate/summary.json"
    if not summary.is_file():
        raise FileNotFoundError(
            f"{summary}: no such file; the run has not been evaluated yet "
            f"(crystalformer-rl status {folder.name})"
        )
    saved = read_json(folder / SETTINGS)
    return Finished(
        folder.name,
        dict(_flat(saved["config"])),
        read_json(summary)["policies"],
        _histories(folder, saved),
    )


def settings_that_differ(runs: Sequence[Finished]) -> pd.DataFrame:
    """A row per key that is not the same in all runs, a column per run."""
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    rows = [
        {"key": key, **{run.name: run.settings.get(key) for run in runs}}
        for key in keys
        if key not in ("run", "report.title")
        and len({repr(run.settings.get(key, "absent")) for run in runs}) > 1
    ]
    return pd.DataFrame(rows, columns=["key", *(run.name for run in runs)])


def fractions(runs: Sequence[Finished]) -> pd.DataFrame:
    """Every fraction of every policy of every run: k, n, the fraction and its 95 % interval."""
    rows = [
        {
            "policy": policy, "quantity": name, "run": run.name,
            "k": share.k, "n": share.n, "fraction": share.fraction,
            "low": share.low, "high": share.high,
        }
        for policy in policies(runs)
        for run in runs
        if policy in run.policies
        for name, share in run.shares(policy).items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def differences(runs: Sequence[Finished]) -> pd.DataFrame:
    """Every later run minus the first, for each policy that both have: Newcombe's intervals."""
    first, *others = runs
    rows = []
    for policy in policies(runs):
        for run in others:
            if policy not in run.policies or policy not in first.policies:
                continue
            own, reference = run.shares(policy), first.shares(policy)
            for name in own.keys() & reference.keys():
                one, two = own[name], reference[name]
                found = difference_of_fractions((one.k, one.n), (two.k, two.n))
                rows.append(
                    {
                        "policy": policy, "quantity": name, "run": run.name,
                        "difference": found.estimate, "low": found.low, "high": found.high,
                    }
                )  # fmt: skip
    table = pd.DataFrame(rows, columns=["policy", "quantity", "run", "difference", "low", "high"])
    return _in_order(table)


def paired(runs: Sequence[Finished]) -> pd.DataFrame:
    """The mean over the runs of a policy minus base in the same run, with Student's interval.

    This is what runs that differ in the seed show: the interval has the spread of training again
    and of sampling again, where that of a single run has sampling only.
    """
    rows = []
    for policy in policies(runs):
        if policy == BASE:
            continue
        both = [run for run in runs if policy in run.policies and BASE in run.policies]
        pairs = [(run.shares(policy), run.shares(BASE)) for run in both]
        for name in (*FRACTIONS, *OF_THE_JUDGE):
            gains = [
                own[name].fraction - base[name].fraction
                for own, base in pairs
                if name in own and name in base and own[name].n and base[name].n
            ]
            if len(gains) > 1:
                found = mean_interval(np.array(gains))
                rows.append(
                    {
                        "policy": policy, "quantity": name, "runs": len(gains),
                        "difference": found.estimate, "low": found.low, "high": found.high,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows, columns=["policy", "quantity", "runs", "difference", "low", "high"])


def _histories(folder: Path, saved: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The histories in the folder of a run, which may have been moved; what is gone is left out."""
    try:
        layout = Layout(read(saved["config"]), saved["base_policy"])
    except ValueError as error:
        log.warning(
            "%s: its curves are left out, because its settings are not of this version: %s",
            folder, error,
        )  # fmt: skip
        return {}
    parts: dict[str, list[pd.DataFrame]] = {}
    for policy, path in layout.trained("history.parquet"):
        own = folder / Path(path).relative_to(layout.results)
        if own.is_file() and len(history := read_table(own)):
            parts.setdefault(policy, []).append(history)
    return {
        policy: joined(rounds) if policy.startswith("rl-") else rounds[-1]
        for policy, rounds in parts.items()
    }


def policies(runs: Sequence[Finished]) -> list[str]:
    """The policies of all runs, base first."""
    names = dict.fromkeys(name for run in runs for name in run.policies)
    return sorted(names, key=lambda name: (name != BASE, name))


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    order = {name: place for place, name in enumerate((*FRACTIONS, *OF_THE_JUDGE))}
    return table.sort_values(
        "quantity", key=lambda column: column.map(order), kind="stable"
    ).sort_values("policy", key=lambda c: c.ne(BASE).astype(str) + c, kind="stable")


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
