"""Stability by the judge, a second potential that no reward has seen."""

from crystalformer_rl.config.potentials import title
from crystalformer_rl.evaluation.columns import BY_NAME
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section, counted
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.values import Share

FLAGS = (
    "stable_initial", "judge_stable_initial", "stable", "judge_stable", "sun", "sun_judge",
    "sun_supported", "sun_judge_supported",
)  # fmt: skip
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
        "relaxed": f"from where {rewarding} had relaxed them to",
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
        caption=f"{judge} rewarded no policy. It relaxed the structures itself ({which}), {start}, "
        "and its energies were compared with a hull of its own energies. Uniqueness and novelty "
        "are those of the first relaxation. The crystals of the judge's hull are those of the "
        "dataset, not relaxed with the judge: the hull is some meV/atom too high, and slightly too "
        "many structures count as stable. All columns are of these structures. Supported: on the "
        "hull of the respective potential. Agree: of the structures for which both give an energy "
        "above hull. A gain that the judge does not confirm may be errors of the rewarding "
        "potential, found and exploited.",
    )  # fmt: skip
    return Section("judge", "The judge", body)
