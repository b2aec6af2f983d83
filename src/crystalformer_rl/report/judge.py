"""Other verdicts on stability beside the first: by a second potential, and on another hull."""

from crystalformer_rl.config import Config
from crystalformer_rl.report.markup import EHULL, escape, number, table
from crystalformer_rl.report.notes import counted, potential_name
from crystalformer_rl.report.tables import Summary, share_of

_FLAGS = ("stable", "judge_stable", "sun", "sun_judge", "sun_supported", "sun_judge_supported")


def second_opinion(summary: Summary, config: Config) -> str:
    """What the judge calls stable beside the first verdict; nothing where there is no judge."""
    rows = []
    for name, entry in summary["policies"].items():
        judge = entry.get("judge")
        if judge is None:
            continue
        both = judge["agreement"]
        shares = (judge["fractions"][flag] for flag in _FLAGS)
        kinds = ("both_stable", "only_first_stable", "only_judge_stable")
        rows.append(
            [
                escape(name),
                *(counted(share_of(part)) for part in shares),
                *(str(both[kind]) for kind in kinds),
                counted(share_of(both["agree"])),
            ]
        )
    if not rows or config.judge.potential is None:
        return ""
    few = config.judge.count and f"the first {config.judge.count} of each policy, in whole shards"
    rewarding, judging = (
        potential_name(n) for n in (config.relax.potential, config.judge.potential)
    )
    return "<h3>A second opinion</h3>" + table(
        ["policy",
         *(f"{what}, {who}" for what in ("stable", "S.U.N.", "S.U.N., supported")
           for who in (rewarding, judging)),
         "stable by both", f"by {rewarding} alone", f"by {judging} alone", "agree"],
        rows,
        kind="words",
        caption=f"{judging} rewarded no policy. It relaxed the structures itself "
        f"({few or 'all of them'}) and placed them on a hull of its own energies; what is unique "
        "and new is as by the first verdict. The crystals of that hull are those of the dataset, "
        "not relaxed by it: the hull lies some meV/atom too high, and the verdict is kind by as "
        "much. All columns are of these structures; supported: on "
        "the hull of either potential; agree: of those to which both give an energy above hull. A "
        "gain that the second opinion does not share may be errors of the rewarding potential, "
        "found and exploited.",
    )  # fmt: skip


def comparison(summary: Summary, config: Config) -> str:
    """What is stable on the comparison hull; nothing where there is none."""
    rows = []
    for name, entry in summary["policies"].items():
        if (other := entry.get("comparison")) is None:
            continue
        above = other["numbers"]["comparison_e_above_hull"]
        shares = (entry["fractions"]["stable"], other["fractions"]["comparison_stable"])
        rows.append(
            [escape(name), *(counted(share_of(part)) for part in shares), number(above["median"]),
             str(above["n"])]
        )  # fmt: skip
    if not rows:
        return ""
    files = escape(", ".join(config.comparison_hull.files))
    return "<h3>The comparison hull</h3>" + table(
        ["policy", "stable", "stable on the comparison hull", f"median {EHULL} there (eV/atom)",
         "with an energy"],
        rows,
        kind="words",
        caption=f"The same relaxed structures above the hull of <code>{files}</code>. Energies of "
        f"{potential_name(config.relax.potential)} on a hull of other energies: the errors of the "
        "potential do not cancel here, and false stability comes from them.",
    )  # fmt: skip
