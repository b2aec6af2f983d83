"""Stability by the judge, a second potential that no reward has seen."""

import numpy as np

from crystalformer_rl.config.potentials import title
from crystalformer_rl.evaluation.columns import BY_NAME
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section, counted
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.style import FAINT, GRID, MANY_POINTS, Canvas, canvas
from crystalformer_rl.report.values import Share, numbers

FLAGS = (
    "stable_initial", "judge_stable_initial", "stable", "judge_stable", "sun", "sun_judge",
    "sun_supported", "sun_judge_supported",
)  # fmt: skip
RANGE = (-0.3, 0.6)  # eV/atom
TICKS = (-0.2, 0.0, 0.2, 0.4, 0.6)
KINDS = ("both_stable", "only_first_stable", "only_judge_stable")


def section(run: Run) -> Section | None:
    """Both potentials on the same structures; None without a judge."""
    entries = {name: e["judge"] for name, e in run.policies.items() if e.get("judge") is not None}
    settings = run.config.judge
    if not entries or settings.potential is None:
        return None
    rewarding, judge = (title(n) for n in (run.config.relax.potential, settings.potential))
    which = (
        f"the first {settings.count} of each policy, in whole shards"
        if settings.count
        else "all of them"
    )
    start = {
        "sample": "from the samples",
        "relaxed": f"from the structures that {rewarding} had relaxed",
    }[settings.start]
    body = markup.table(
        ["policy",
         *(f"{BY_NAME[flag].heading}, {judge if 'judge' in flag else rewarding}" for flag in FLAGS),
         "stable by both", f"by {rewarding} alone", f"by {judge} alone", "agree"],
        [
            [
                name,
                *(counted(Share.of(entry["fractions"][flag])) for flag in FLAGS),
                *(str(entry["agreement"][kind]) for kind in KINDS),
                counted(Share.of(entry["agreement"]["agree"])),
            ]
            for name, entry in entries.items()
        ],
        kind="words",
        caption=f"{judge} rewarded no policy. It relaxed the structures ({which}), starting "
        f"{start}, and its energies were compared with a hull of the same potential. Uniqueness "
        "and novelty are those of the first relaxation. The judge's hull consists of the crystals "
        "of the dataset, which were not relaxed with the judge: the hull is some meV/atom too "
        "high, and slightly too many structures count as stable. All columns refer to the "
        "structures that the judge evaluated. Supported: by the hull of the respective potential. "
        "Agree: among the structures for which both give an energy above hull. A gain that the "
        "judge does not confirm may come from errors of the rewarding potential that the policy "
        "exploits.",
    )  # fmt: skip
    drawing = draw(run, rewarding, judge)
    body += markup.picture(
        "potentials",
        drawing,
        label="Energy above hull by the judge against that by the rewarding potential, per policy",
        caption=f"Energy above hull after relaxation, by {rewarding} and by {judge}, each on its "
        "own hull. Above the horizontal and left of the vertical dashed line, a "
        f"structure is stable by {rewarding} alone: the points of a policy gather there if it has "
        "found errors of the potential that rewarded it. Values outside the panels are drawn on "
        "their border.",
    )
    return Section("judge", "The judge", body, figures={"potentials": drawing})


def draw(run: Run, rewarding: str, judge: str) -> Canvas:
    """A panel per policy: the judge's energy above hull against the rewarding potential's."""
    policies = list(run.policies)
    columns = min(4, max(1, len(policies)))
    rows = -(-len(policies) // columns) or 1
    with canvas(
        rows=rows, columns=columns, height=0.4 + 2.0 * rows, share_x=True, share_y=True
    ) as drawing:
        for axis, policy in zip(drawing.axes, policies, strict=False):
            own = run.table[run.table["policy"] == policy]
            x, y = numbers(own, "e_above_hull"), numbers(own, "judge_e_above_hull")
            known = np.isfinite(x) & np.isfinite(y)
            axis.axline((0, 0), slope=1, color=GRID, lw=0.8)
            axis.axvline(run.threshold, color=FAINT, lw=0.8, ls=(0, (4, 2)))
            axis.axhline(run.threshold, color=FAINT, lw=0.8, ls=(0, (4, 2)))
            axis.plot(
                np.clip(x[known], *RANGE), np.clip(y[known], *RANGE), ".", ms=5, alpha=0.55,
                mew=0, clip_on=False, color=run.colours[policy],
                rasterized=bool(known.sum() > MANY_POINTS),
            )  # fmt: skip
            axis.set_title(f"{policy} ({known.sum()})")
            axis.set(xlim=RANGE, ylim=RANGE, xticks=TICKS, yticks=TICKS, aspect="equal")
        for row in drawing.rows:
            row[0].set_ylabel(f"{judge} (eV/atom)")
        for axis in drawing.rows[-1]:
            axis.set_xlabel(f"{rewarding} (eV/atom)")
        drawing.hide_after(len(policies))
    return drawing
