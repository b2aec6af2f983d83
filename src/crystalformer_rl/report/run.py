"""A finished run: everything that the page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from crystalformer_rl.config import Config
from crystalformer_rl.evaluation.intervals import fraction
from crystalformer_rl.report.style import policy_colours
from crystalformer_rl.report.values import Mean, Share, Summary

Record = Mapping[str, Any]
NEEDED = ("id", "policy", "space_group")


@dataclass(frozen=True)
class Run:
    """What the sections of the page read.

    Attributes
    ----------
    table
        One row per sampled crystal, as the evaluate stage writes it. Columns may be missing and
        values null; the sections then show what depends on them as absent.
    summary
        ``summary.json`` of the same evaluation: every share and mean on the page is from it.
    config
        The settings of the run.
    histories
        History tables by name: one for each likelihood stage, one per round (in any order) for an
        RL branch (``rl-…``).
    provenance
        Records of the jobs by label, such as ``relax/base/shard-0000``.
    crystals
        The crystals that were sampled during RL fine-tuning, by branch (``rl-…``), all rounds.
    hull
        The entries of the hull that ``e_above_hull`` refers to: ``formula``,
        ``formation_energy_per_atom`` (eV/atom) and ``id``. None: no hull is drawn.
    known
        Rows of the dataset that ``matched_id`` and ``nearest_known_id`` refer to. None: no known
        crystal is drawn beside a structure.

    Raises
    ------
    ValueError
        If the table lacks one of the columns ``id``, ``policy``, ``space_group``, or has other
        policies than the summary.
    """

    table: pd.DataFrame
    summary: Summary
    config: Config
    histories: Mapping[str, Sequence[pd.DataFrame]]
    provenance: Mapping[str, Record]
    crystals: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    hull: pd.DataFrame | None = None
    known: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        if absent := [name for name in NEEDED if name not in self.table]:
            raise ValueError(
                f"the table of structures lacks {absent}; it has {list(self.table.columns)}"
            )
        counted = {name for name, e in self.summary["policies"].items() if e["generated"]}
        if set(self.table["policy"]) != counted:
            raise ValueError(
                f"the table has the policies {sorted(set(self.table['policy']))}, the summary "
                f"{sorted(counted)}: they are not of one evaluation"
            )

    @cached_property
    def policies(self) -> dict[str, Mapping[str, Any]]:
        """The summary of each policy, in the order of the table; JSON has sorted the names."""
        names = dict.fromkeys([*self.table["policy"], *self.summary["policies"]])
        return {name: self.summary["policies"][name] for name in names}

    @cached_property
    def colours(self) -> dict[str, str]:
        """The colour of each policy, and of each RL branch that was not sampled."""
        return policy_colours(list(dict.fromkeys([*self.policies, *self.branches])))

    @cached_property
    def losses(self) -> dict[str, pd.DataFrame]:
        """The history of each likelihood stage that has one."""
        return {
            name: parts[-1]
            for name, parts in self.histories.items()
            if not name.startswith("rl-") and parts and len(parts[-1])
        }

    @cached_property
    def branches(self) -> dict[str, pd.DataFrame]:
        """The rounds of each RL branch as one table by step, see :func:`joined`."""
        filled = {
            name: [part for part in rounds if len(part)]
            for name, rounds in self.histories.items()
            if name.startswith("rl-")
        }
        return {name: joined(rounds) for name, rounds in filled.items() if rounds}

    @property
    def threshold(self) -> float:
        """Crystals below this energy above hull are stable, eV/atom."""
        return self.config.evaluate.stable_below

    def share(self, policy: str, name: str) -> Share:
        """A fraction of a policy."""
        return Share.of(self.policies[policy]["fractions"][name])

    def stable_by_both(self, policy: str) -> Share | None:
        """Of the structures that the judge evaluated, those stable by both potentials.

        None if the judge evaluated none of the policy's structures.
        """
        judge = self.policies[policy].get("judge")
        if judge is None or not judge["judged"]:
            return None
        return Share.of(fraction(judge["agreement"]["both_stable"], judge["judged"]))

    def mean(self, policy: str, name: str) -> Mean:
        """A mean of a policy."""
        return Mean.of(self.policies[policy]["numbers"][name])


def joined(rounds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rounds of a branch, in any order, as one table; of a repeated step, the last row.

    The rounds of supervised fine-tuning count epochs and steps from 0; here they go on.
    """
    if "epoch" not in rounds[0]:
        return (
            pd.concat(rounds, ignore_index=True)
            .drop_duplicates("step", keep="last")
            .sort_values("step", ignore_index=True)
        )
    before = pd.Series({"epoch": 0, "step": 0})
    parts = []
    for part in sorted(rounds, key=lambda one: int(one["round"].iloc[0])):
        parts.append(part.assign(**{name: part[name] + before[name] for name in before.index}))
        before = parts[-1][list(before.index)].max()
    return pd.concat(parts, ignore_index=True)
