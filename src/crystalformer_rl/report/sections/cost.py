"""The cost of a stable, unique and novel structure: wall time and energy evaluations."""

from collections.abc import Mapping

import pandas as pd

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import MISSING, Section, number
from crystalformer_rl.report.run import Record, Run
from crystalformer_rl.report.style import PALETTE, Canvas, canvas

PARTS = {
    "training": "", "sampling": "sample/", "relaxation": "relax/", "judge": "judge/relax/",
    "assessment": "assess/",
}  # fmt: skip
"""What is added up, and the folder with its jobs, one folder in it per policy."""


def section(run: Run) -> Section | None:
    """The table and its figure; None without provenance of the jobs."""
    found = cost_table(run)
    if not found[list(PARTS)].to_numpy().any():
        return None
    drawing = draw(found)
    body = markup.picture(
        "cost",
        drawing,
        label="Bars: wall time per supported S.U.N. structure and policy, by stage",
        caption="Wall time of the jobs of a policy, divided by its supported S.U.N. structures. "
        "Training covers the policy alone, not the policies it started from; it is paid once, so "
        "its share falls with the number of samples. Jobs on different devices count equally.",
    ) + markup.table(
        ["policy", *(f"{part} (min)" for part in PARTS), "energy evaluations",
         "supported S.U.N.", "minutes per S.U.N.", "evaluations per S.U.N."],
        [
            [
                row["policy"], *(number(row[part] / 60, 1) for part in PARTS),
                f"{row['evaluations']:,}", str(row["found"]),
                *(
                    number(row[name] / row["found"], digits) if row["found"] else MISSING
                    for name, digits in (("minutes", 2), ("evaluations", 0))
                ),
            ]
            for row in found.assign(minutes=found[list(PARTS)].sum(axis=1) / 60).to_dict("records")
        ],
        caption="Energy evaluations are those of the relaxation by the first potential: its steps, "
        "and one for each structure as generated.",
    )  # fmt: skip
    return Section("cost", "Cost", body, figures={"cost": drawing}, tables={"cost": found})


def cost_table(run: Run) -> pd.DataFrame:
    """Seconds of each part, energy evaluations and supported S.U.N. structures, per policy."""
    rows = [
        {
            "policy": policy,
            **{
                part: sum(float(one.get("wall_s") or 0) for one in _jobs(run, policy, part))
                for part in PARTS
            },
            "evaluations": sum(_evaluations(one) for one in _jobs(run, policy, "relaxation")),
            "found": run.share(policy, "sun_supported").k,
        }
        for policy in run.policies
    ]
    return pd.DataFrame(rows, columns=["policy", *PARTS, "evaluations", "found"])


def draw(found: pd.DataFrame) -> Canvas:
    """A bar per policy: minutes per supported S.U.N. structure, by stage."""
    with canvas(height=0.8 + 0.35 * max(1, len(found))) as drawing:
        axis = drawing.axes[0]
        starts = pd.Series(0.0, index=found.index)
        for part, colour in zip(PARTS, PALETTE, strict=False):
            minutes = (found[part] / found["found"].where(found["found"] > 0) / 60).fillna(0.0)
            axis.barh(found.index, minutes, 0.7, left=starts, color=colour, label=part)
            starts += minutes
        for place in found.index[found["found"] == 0]:
            axis.annotate("none found", (0, place), xytext=(4, 0), textcoords="offset points",
                          va="center", fontsize=8)  # fmt: skip
        axis.set_yticks(found.index, found["policy"])
        axis.set_ylim(max(1, len(found)) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.set_xlim(left=0)
        axis.set_xlabel("minutes per supported S.U.N. structure")
        axis.grid(axis="x")
        axis.legend(loc="best")
    return drawing


def _jobs(run: Run, policy: str, part: str) -> list[Record]:
    """The records of the jobs of a policy that belong to a part."""
    own = "pretrain" if (part, policy) == ("training", "base") else policy
    folder = PARTS[part] + own
    return [
        record
        for label, record in run.provenance.items()
        if label == folder or label.startswith(f"{folder}/")
    ]


def _evaluations(record: Record) -> int:
    counts: Mapping[str, int] = record.get("counts") or {}
    return int(counts.get("items", 0)) + int(counts.get("steps", 0))
