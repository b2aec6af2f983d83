"""The verdict: what each policy reached, and the change against the base policy."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from crystalformer_rl.config.potentials import title
from crystalformer_rl.evaluation.intervals import Interval, difference_of_fractions
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import MISSING, number, percent
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.sections.differences import BASE
from crystalformer_rl.report.style import Canvas, canvas, label_rows, percent_axis
from crystalformer_rl.report.values import Share

SUPPORTED = "S.U.N., supported"


@dataclass(frozen=True)
class Criterion:
    """A criterion for the policies: its heading, and the share of each policy, if any."""

    name: str
    heading: str
    shares: Mapping[str, Share | None]

    def change(self, policy: str) -> Interval | None:
        """A policy minus the base policy; None for the base, or where one of the two has none."""
        own, base = self.shares[policy], self.shares.get(BASE)
        if policy == BASE or own is None or base is None or not (own.n and base.n):
            return None
        return difference_of_fractions((own.k, own.n), (base.k, base.n))


def criteria(run: Run) -> list[Criterion]:
    """Supported S.U.N., and stable by both potentials, or by the only one."""
    supported = {name: run.share(name, "sun_supported") for name in run.policies}
    both = {name: run.stable_by_both(name) for name in run.policies}
    if any(share is not None for share in both.values()):
        second = Criterion("stable_by_both", "stable by both potentials", both)
    else:
        alone = {name: run.share(name, "stable") for name in run.policies}
        potential = title(run.config.relax.potential)
        second = Criterion("stable", f"stable by {potential} alone", alone)
    return [Criterion("sun_supported", SUPPORTED, supported), second]


def table(run: Run) -> Markup:
    """One row per policy: each criterion with its interval, and the change against the base."""
    found = criteria(run)
    against = BASE in run.policies and len(run.policies) > 1
    headings = ["policy"]
    for one in found:
        headings += [one.heading, *(["against base"] if against else [])]
    rows = []
    for policy in run.policies:
        row = [markup.dot(run.colours[policy], policy)]
        for one in found:
            row += [_share(one.shares[policy]), *([_change(one, policy)] if against else [])]
        rows.append(row)
    return markup.table(headings, rows, kind="verdict")


def records(run: Run) -> pd.DataFrame:
    """The same numbers, for a file."""
    rows = []
    for one in criteria(run):
        for policy, share in one.shares.items():
            if share is None:
                continue
            change = one.change(policy) or Interval(None, None, None)
            rows.append(
                [policy, one.name, share.k, share.n, share.fraction, share.low, share.high,
                 change.estimate, change.low, change.high]
            )  # fmt: skip
    columns = ["policy", "quantity", "k", "n", "fraction", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "change", "change_low", "change_high"])


def draw(run: Run) -> Canvas:
    """A panel per criterion: share and interval of each policy; the band is the base's interval."""
    found = criteria(run)
    places = {policy: place for place, policy in enumerate(run.policies)}
    with canvas(
        columns=len(found), height=0.75 + 0.3 * max(2, len(places)), share_y=True
    ) as drawing:
        for axis, one in zip(drawing.axes, found, strict=True):
            for policy, place in places.items():
                _draw_share(axis, one.shares[policy], place, run.colours[policy])
            base = one.shares.get(BASE)
            if base is not None and base.n:
                axis.axvspan(base.low, base.high, color=run.colours[BASE], alpha=0.16, lw=0)
            axis.set_title(one.heading)
            axis.set_xlim(0, max(0.1, 1.08 * _largest(one)))
            axis.xaxis.set_major_locator(MaxNLocator(nbins=6))
            percent_axis(axis, along="x")
            axis.grid(axis="x")
            label_rows(axis)
        first = drawing.axes[0]
        first.set_yticks(list(places.values()), list(places))
        first.set_ylim(max(1, len(places)) - 0.5, -0.5)
    return drawing


def _draw_share(axis: Axes, share: Share | None, place: int, colour: str) -> None:
    if share is None or not share.n:
        return
    axis.plot([share.low, share.high], [place, place], color=colour, lw=2.4)
    axis.plot(share.fraction, place, "o", color=colour, ms=7, clip_on=False)


def _largest(one: Criterion) -> float:
    return max((share.high for share in one.shares.values() if share and share.n), default=1.0)


def _share(share: Share | None) -> Markup:
    if share is None or not share.n:
        return MISSING
    return Markup("<b>{}</b> <small>[{:.1f}, {:.1f}]</small><small>{} of {}</small>").format(
        percent(share.fraction), 100 * share.low, 100 * share.high, share.k, share.n
    )


def _change(one: Criterion, policy: str) -> Markup:
    """The change in percentage points with its interval, and the conclusion from it."""
    found = one.change(policy)
    if found is None or found.estimate is None or found.low is None or found.high is None:
        return MISSING if policy != BASE else Markup("<small>the reference</small>")
    sign = "+" if found.estimate > 0 else ""
    middle, low, high = (number(100 * end, 1) for end in (found.estimate, found.low, found.high))
    verdict, kind = "no clear difference", "unclear"
    if found.low > 0:
        verdict, kind = "▲ more", "more"
    elif found.high < 0:
        verdict, kind = "▼ fewer", "fewer"
    return Markup(
        '<span class="{}"><b>{}{}</b> <small>[{}, {}]</small><small>{}</small></span>'
    ).format(kind, sign, middle, low, high, verdict)
