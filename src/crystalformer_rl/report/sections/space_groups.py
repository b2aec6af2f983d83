"""S.U.N. by space group and by crystal system."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from pymatgen.symmetry.groups import sg_symbol_from_int_number

from crystalformer_rl.evaluation.sun import BY_GROUP
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import INK, Canvas, canvas, percent_axis
from crystalformer_rl.report.values import Share

GROUPS = 14  # as many as in the paper's figure
SYSTEMS = {
    "triclinic": 2, "monoclinic": 15, "orthorhombic": 74, "tetragonal": 142, "trigonal": 167,
    "hexagonal": 194, "cubic": 230,
}  # fmt: skip
"""The last space group of each crystal system."""


def section(run: Run) -> Section:
    """Bars of the S.U.N. fraction in the most sampled space groups."""
    systems = system_table(run.policies)
    figures = {
        "crystal-systems": draw_systems(systems, run.colours),
        "sun-by-group": draw(by_group(run.policies, groups=GROUPS), run.colours),
    }
    body = markup.picture(
        "crystal-systems",
        figures["crystal-systems"],
        label="Bars: share of each crystal system per policy, and of its S.U.N. structures",
        caption="The seven crystal systems: share of the sampled structures (pale bars) and of "
        "those that are S.U.N. (full bars), of all samples of a policy. The system is that of the "
        "requested space group.",
    ) + markup.picture(
        "sun-by-group",
        figures["sun-by-group"],
        label="Bars: S.U.N. fraction per space group and policy",
        caption="Fraction of S.U.N. structures among those sampled in a space group: the "
        f"{GROUPS} groups that were sampled most, with 95 % Wilson intervals. The space group is "
        "the prompt of the policy, not a result; for another generator it is that of the structure "
        "as given. With few samples per group the intervals are wide. The fractions in all groups, "
        "stable and S.U.N., with n, are in tables/space_groups.csv.",
    )
    if run.config.sample.space_group_weights == "uniform" and run.policies:
        body += weighted_table(run.policies, run.colours)
    return Section(
        "space-groups",
        "S.U.N. by space group",
        body,
        figures=figures,
        tables={"space_groups": group_table(run.policies), "crystal_systems": systems},
    )


def weighted_table(policies: Mapping[str, Mapping[str, Any]], colours: Mapping[str, str]) -> Markup:
    """Stable and S.U.N. as if the groups had been sampled as often as the training set has them."""
    rows = [
        [
            markup.dot(colours[policy], policy),
            *(_percentage(entry["weighted"][name]) for name in BY_GROUP),
        ]
        for policy, entry in policies.items()
        if entry["weighted"] is not None
    ]
    covered = max(
        (entry["weighted"]["covered"] for entry in policies.values() if entry["weighted"]),
        default=0,
    )
    return markup.table(
        ["policy", *(markup.heading(name) for name in BY_GROUP)],
        rows,
        caption="Mean of the fractions in the space groups, each with the weight of the group in "
        "the training set, as in the paper. The sampled groups have "
        f"{markup.percent(covered)} of the training set. The intervals combine Wilson's of each "
        "group.",
    )


def _percentage(entry: Mapping[str, Any]) -> Markup:
    """Percentage with its interval beneath; a dash where no group counts."""
    if entry["estimate"] is None:
        return markup.MISSING
    return Markup("<b>{}</b><small>[{:.1f}, {:.1f}]</small>").format(
        markup.percent(entry["estimate"]), 100 * entry["low"], 100 * entry["high"]
    )


def draw(shares: Mapping[str, Mapping[str, Share]], colours: Mapping[str, str]) -> Canvas:
    """Fraction per space group and policy; ``shares`` by the label of a group and by policy."""
    policies = list(dict.fromkeys(policy for group in shares.values() for policy in group))
    width = 0.8 / max(1, len(policies))
    with canvas(width=max(7.2, 0.5 * len(shares)), height=3.1) as drawing:
        axis = drawing.axes[0]
        for index, policy in enumerate(policies):
            places = np.arange(len(shares)) - 0.4 + (index + 0.5) * width
            of_policy = [group.get(policy) for group in shares.values()]
            heights = [share.fraction if share else 0.0 for share in of_policy]
            axis.bar(places, heights, width=0.9 * width, color=colours[policy], label=policy)
            for place, share in zip(places, of_policy, strict=True):
                if share and share.n:
                    axis.plot([place, place], [share.low, share.high], color=INK, lw=0.7)
        axis.set_xticks(range(len(shares)), list(shares), rotation=40, ha="right")
        axis.tick_params(axis="x", length=0)
        axis.set_ylabel("S.U.N. fraction")
        axis.set_ylim(0, 1)
        percent_axis(axis)
        axis.grid(axis="y")
        if policies:
            axis.legend(ncols=len(policies), loc="upper right")
    return drawing


def draw_systems(systems: pd.DataFrame, colours: Mapping[str, str]) -> Canvas:
    """Share of each crystal system per policy (pale), and its part that is S.U.N. (full)."""
    policies = list(dict.fromkeys(systems["policy"]))
    width = 0.8 / max(1, len(policies))
    with canvas(height=2.8) as drawing:
        axis = drawing.axes[0]
        for index, policy in enumerate(policies):
            rows = systems[systems["policy"] == policy]
            places = np.arange(len(rows)) - 0.4 + (index + 0.5) * width
            total = max(1, int(rows["generated"].sum()))
            for name, opacity, label in (("generated", 0.35, None), ("sun", 1.0, policy)):
                axis.bar(
                    places, rows[name] / total, width=0.9 * width, color=colours[policy],
                    alpha=opacity, label=label, lw=0,
                )  # fmt: skip
        axis.set_xticks(range(len(SYSTEMS)), list(SYSTEMS))
        axis.tick_params(axis="x", length=0)
        axis.set_ylabel("of all samples")
        percent_axis(axis)
        axis.grid(axis="y")
        if policies:
            axis.legend(ncols=len(policies), loc="best")
    return drawing


def system_table(policies: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Sampled, stable and S.U.N. structures per crystal system and policy."""
    last = np.array(list(SYSTEMS.values()))
    rows = []
    for policy, entry in policies.items():
        counts = np.zeros((len(SYSTEMS), 3), dtype=int)
        for number, part in entry["space_groups"].items():
            place = int(np.searchsorted(last, int(number)))
            counts[place] += (part["generated"], part["stable"]["k"], part["sun"]["k"])
        rows += [[policy, name, *map(int, row)] for name, row in zip(SYSTEMS, counts, strict=True)]
    return pd.DataFrame(rows, columns=["policy", "system", "generated", "stable", "sun"])


def group_label(number: int) -> str:
    """Number and symbol of a space group, such as ``194 P6₃/mmc``."""
    symbol = sg_symbol_from_int_number(number)
    return f"{number} {re.sub(r'_([0-9])', lambda m: chr(0x2080 + int(m[1])), symbol)}"


def by_group(
    policies: Mapping[str, Mapping[str, Any]], *, groups: int, name: str = "sun"
) -> dict[str, dict[str, Share]]:
    """A share per space group and policy, of the most sampled groups in order of number."""
    shares = {
        policy: {
            int(number): Share.of(part[name]) for number, part in entry["space_groups"].items()
        }
        for policy, entry in policies.items()
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


def group_table(policies: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Stable and S.U.N. per space group and policy, all groups, for a CSV."""
    rows = [
        [label, policy, name, part.k, part.n, part.fraction, part.low, part.high]
        for name in BY_GROUP
        for label, group in by_group(policies, groups=230, name=name).items()
        for policy, part in group.items()
    ]
    columns = ["space_group", "policy", "quantity", "k", "n", "fraction", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
