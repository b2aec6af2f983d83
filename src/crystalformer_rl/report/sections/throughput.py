"""How fast each stage was and how much memory it took."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section, number
from crystalformer_rl.report.run import Record, Run
from crystalformer_rl.report.style import FAINT, PALETTE, Canvas, canvas

COLUMNS = [
    "stage", "jobs", "items", "wall_s", "cpu_s", "items_per_s", "items_per_core_s", "memory_mib",
    "gpu_memory_mib",
]  # fmt: skip
_MEASURED = ["stage", "items", "wall_s", "cpu_s", "memory_mib", "gpu_memory_mib"]


def section(run: Run) -> Section | None:
    """The figure and its table; None without provenance of the jobs."""
    found = throughput_table(run.provenance)
    if found.empty:
        return None
    drawing = draw(found)
    body = markup.picture(
        "throughput",
        drawing,
        label="Per stage: items per second, and peak memory",
        caption="Left: items per second within the jobs of a stage, of wall time (dots) and of CPU "
        "time (rings), the time of all cores together. An item is a crystal; in training, a "
        "crystal in one epoch or in the batch of one RL step. Loading of programs is not counted. "
        "Right: the memory of the largest job, and what it allocated on its GPU (diamonds). Memory "
        "is that of the first process of a job, CPU time also that of its workers.",
    ) + markup.table(
        ["stage", "jobs", "items", "wall time (s)", "CPU time (s)", "items/s", "items per core-s",
         "memory (MiB)", "GPU memory (MiB)"],
        [
            [
                row["stage"], str(row["jobs"]), number(row["items"], 0),
                *(number(row[name], 1) for name in ("wall_s", "cpu_s")),
                *(_rate_text(row[name]) for name in ("items_per_s", "items_per_core_s")),
                *(number(row[name], 0) for name in ("memory_mib", "gpu_memory_mib")),
            ]
            for row in found.to_dict("records")
        ],
    )  # fmt: skip
    return Section(
        "throughput", "Throughput and memory", body, {"throughput": drawing}, {"throughput": found}
    )


def throughput_table(provenance: Mapping[str, Record]) -> pd.DataFrame:
    """A row per stage in the order of their first jobs; NaN for what was not recorded."""
    started = sorted(provenance.items(), key=lambda one: str(one[1].get("started")))
    jobs = pd.DataFrame([_job(label, record) for label, record in started], columns=_MEASURED)
    rows = [
        {
            "stage": stage,
            "jobs": len(own),
            **{name: own[name].sum(min_count=1) for name in ("items", "wall_s", "cpu_s")},
            "items_per_s": _rate(own["items"], own["wall_s"]),
            "items_per_core_s": _rate(own["items"], own["cpu_s"]),
            **{name: own[name].max() for name in ("memory_mib", "gpu_memory_mib")},
        }
        for stage, own in jobs.groupby("stage", sort=False)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def draw(found: pd.DataFrame) -> Canvas:
    """A row per stage: items per second, and the memory of its largest job."""
    with canvas(columns=2, height=0.9 + 0.24 * max(1, len(found)), share_y=True) as drawing:
        rate, memory = drawing.axes
        counted = found[found["items_per_s"] > 0]
        for name, face, label in (
            ("items_per_s", PALETTE[0], "wall time"),
            ("items_per_core_s", "none", "CPU time"),
        ):
            rate.plot(
                counted[name], counted.index, "o", ms=6, mfc=face, mec=PALETTE[0], label=label
            )
        if len(counted):
            rate.set_xscale("log")
            rate.legend(loc="best")
        for place, items in found["items"].drop(counted.index).items():
            rate.annotate(
                "no count" if np.isnan(items) else "nothing to do", (0, place), xytext=(4, 0),
                xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
                fontsize=8, color=FAINT,
            )  # fmt: skip
        memory.barh(found.index, found["memory_mib"], 0.7, color=PALETTE[0])
        memory.plot(found["gpu_memory_mib"], found.index, "D", ms=5, color=PALETTE[1])
        memory.set_xlim(left=0)
        for axis, title in ((rate, "items per second"), (memory, "peak memory (MiB)")):
            axis.set_xlabel(title)
            axis.grid(axis="x")
            axis.tick_params(axis="y", length=0)
        rate.set_yticks(found.index, found["stage"])
        rate.set_ylim(max(1, len(found)) - 0.5, -0.5)
    return drawing


def _job(label: str, record: Record) -> dict[str, object]:
    """The measurements of a job, for its stage: ``judge relax`` for those below ``judge/``."""
    counts: Mapping[str, float] = record.get("counts") or {}
    stage, part = str(record["stage"]), label.partition("/")[0]
    return {
        "stage": f"{part} {stage}" if part in ("judge", "comparison") else stage,
        "items": counts.get("items", np.nan),
        "wall_s": record.get("wall_s", np.nan),
        "cpu_s": record.get("cpu_s", np.nan),
        "memory_mib": record.get("peak_memory_mib", np.nan),
        "gpu_memory_mib": record.get("gpu_memory_mib", np.nan),
    }


def _rate(items: "pd.Series[float]", seconds: "pd.Series[float]") -> float:
    """Items per second over the jobs for which both are known; NaN if there is none."""
    known = items.notna() & (seconds > 0)
    return float(items[known].sum() / seconds[known].sum()) if known.any() else np.nan


def _rate_text(rate: float) -> str:
    return number(rate, 0 if rate >= 100 else 1 if rate >= 10 else 3)
