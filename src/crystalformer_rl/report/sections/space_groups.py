"""S.U.N. by space group."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.symmetry.groups import sg_symbol_from_int_number

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import INK, Canvas, canvas, percent_axis
from crystalformer_rl.report.values import Share

GROUPS = 14  # as many as in the paper's figure


def section(run: Run) -> Section:
    """Bars of the S.U.N. fraction in the most sampled space groups."""
    svg = draw(sun_by_group(run.policies, groups=GROUPS), run.colours).svg()
    body = markup.picture(
        "sun-by-group",
        svg,
        label="Bars: S.U.N. fraction per space group and policy",
        caption="Fraction of S.U.N. structures among those sampled in a space group: the "
        f"{GROUPS} groups that were sampled most, with 95 % Wilson intervals. The space group is "
        "the prompt of the generator, not a result; of another generator, that of the structure as "
        "given. With few samples per group the intervals are "
        "wide. All groups, with n, are in tables/space_groups.csv.",
    )
    return Section(
        "space-groups",
        "S.U.N. by space group",
        body,
        figures={"sun-by-group": svg},
        tables={"space_groups": group_table(run.policies)},
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


def group_label(number: int) -> str:
    """Number and symbol of a space group, such as ``194 P6₃/mmc``."""
    symbol = sg_symbol_from_int_number(number)
    return f"{number} {re.sub(r'_([0-9])', lambda m: chr(0x2080 + int(m[1])), symbol)}"


def sun_by_group(
    policies: Mapping[str, Mapping[str, Any]], *, groups: int
) -> dict[str, dict[str, Share]]:
    """S.U.N. share per space group and policy, of the most sampled groups in order of number."""
    shares = {
        policy: {
            int(number): Share.of(part["sun"]) for number, part in entry["space_groups"].items()
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
    """S.U.N. per space group and policy, all groups, for a CSV."""
    rows = [
        [label, policy, part.k, part.n, part.fraction, part.low, part.high]
        for label, group in sun_by_group(policies, groups=230).items()
        for policy, part in group.items()
    ]
    columns = ["space_group", "policy", "k", "n", "fraction", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
