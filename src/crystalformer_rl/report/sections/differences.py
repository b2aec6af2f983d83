"""How each policy differs from the base policy, with an interval of the difference itself."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from crystalformer_rl.evaluation.columns import title_of
from crystalformer_rl.evaluation.intervals import (
    Interval,
    difference_of_fractions,
    difference_of_means,
)
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import MISSING, mean_text, number, prose, share_text
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.values import Mean, Share

BASE = "base"
FRACTIONS = ("stable_initial", "stable", "unique", "sun", "sun_supported")
OF_THE_JUDGE = ("judge_stable", "sun_judge")


@dataclass(frozen=True)
class Difference:
    """A quantity of a policy and of the base policy, and the first minus the second."""

    policy: str
    name: str
    label: str
    own: Mean | Share
    base: Mean | Share
    interval: Interval

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval does not contain 0."""
        return excludes_zero(self.interval)


def excludes_zero(found: Interval) -> bool:
    """Whether an interval is known and does not contain 0."""
    return found.low is not None and found.high is not None and not found.low <= 0 <= found.high


def differences(run: Run) -> list[Difference]:
    """Every policy against the base policy; none without a base policy."""
    if BASE not in run.policies:
        return []
    others = [policy for policy in run.policies if policy != BASE]
    return [one for policy in others for one in (*_means(policy, run), *_fractions(policy, run))]


def against_base(run: Run) -> Markup:
    """The table of the differences; nothing without a second policy."""
    found = differences(run)
    if not found:
        return Markup("")
    rows, policy = [], ""
    for one in found:
        rows.append(["" if one.policy == policy else one.policy, *_cells(one)])
        policy = one.policy
    return markup.table(
        ["policy", "quantity", "this policy", "base", "difference"],
        rows,
        kind="words",
        caption="Every policy compared with the base policy. The difference has its own 95 % "
        "interval: Newcombe's for fractions, in percentage points, and Welch's for means. Bold: "
        "the interval excludes 0, which is evidence of a difference. An interval that contains 0 "
        "is not evidence that there is none. Of twenty quantities that do not differ, one is "
        "expected in bold.",
    )


def difference_table(run: Run) -> pd.DataFrame:
    """The differences, for a CSV."""
    rows = [
        [one.policy, one.name, one.interval.estimate, one.interval.low, one.interval.high]
        for one in differences(run)
    ]
    return pd.DataFrame(rows, columns=["policy", "quantity", "difference", "low", "high"])


def _means(policy: str, run: Run) -> Iterator[Difference]:
    labels = {"e_above_hull_initial": prose("mean unrelaxed E_hull (eV/atom)")}
    branch = run.config.rewarded.get(policy.removeprefix("rl-"))
    for reward in [] if branch is None else branch.reward.singles.values():
        if (column := reward.column) is not None:
            labels[column] = Markup("mean {}").format(markup.heading(column))
    for name, label in labels.items():
        own, base = run.mean(policy, name), run.mean(BASE, name)
        interval = difference_of_means((own.interval, own.n), (base.interval, base.n))
        yield Difference(policy, f"mean_{name}", label, own, base, interval)


def _fractions(policy: str, run: Run) -> Iterator[Difference]:
    for name in FRACTIONS:
        label = prose(title_of(name))
        yield _fraction(policy, name, label, run.share(policy, name), run.share(BASE, name))
    judged = [run.policies[one].get("judge") for one in (policy, BASE)]
    for name in OF_THE_JUDGE:
        if None not in judged:
            label = prose(title_of(name))
            own, base = (Share.of(entry["fractions"][name]) for entry in judged if entry)
            yield _fraction(policy, name, label, own, base)


def _fraction(policy: str, name: str, label: str, own: Share, base: Share) -> Difference:
    interval = difference_of_fractions((own.k, own.n), (base.k, base.n))
    return Difference(policy, name, label, own, base, interval)


def _cells(one: Difference) -> list[str]:
    texts = [
        mean_text(value) if isinstance(value, Mean) else share_text(value)
        for value in (one.own, one.base)
    ]
    factor, digits = (1.0, 3) if isinstance(one.own, Mean) else (100.0, 1)
    return [one.label, *texts, change(one.interval, factor=factor, digits=digits)]


def change(found: Interval, *, factor: float, digits: int) -> str:
    """A difference times ``factor`` with its interval, signed; in bold if it excludes 0."""
    if found.estimate is None:
        return MISSING
    middle, low, high = (
        MISSING if end is None else number(factor * end, digits)
        for end in (found.estimate, found.low, found.high)
    )
    sign = "+" if found.estimate > 0 else ""
    text = Markup("{}{} [{}, {}]").format(sign, middle, low, high)
    return Markup("<strong>{}</strong>").format(text) if excludes_zero(found) else text
