"""Stability on the comparison hull."""

from markupsafe import Markup

from crystalformer_rl.config.potentials import title
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import Section, counted, number
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.values import Share

ENERGY, STABLE = "comparison_e_above_hull", "comparison_stable"


def section(run: Run) -> Section | None:
    """The same structures on both hulls; None without a comparison hull."""
    rows = []
    for name, entry in run.policies.items():
        if (other := entry.get("comparison")) is not None:
            above = other["numbers"][ENERGY]
            shares = (entry["fractions"]["stable"], other["fractions"][STABLE])
            cells = (counted(Share.of(share)) for share in shares)
            rows.append([name, *cells, number(above["median"]), str(above["n"])])
    if not rows:
        return None
    stable, energy = markup.heading(STABLE), markup.heading(ENERGY)
    body = markup.table(
        ["policy", "stable", stable, Markup("median {}").format(energy), "with an energy"],
        rows,
        kind="words",
        caption=Markup(
            "The same relaxed structures above the hull of <code>{}</code>. The energies of {} are "
            "compared with a hull of other energies: the errors of the potential do not cancel, "
            "and structures can appear stable that are not."
        ).format(", ".join(run.config.comparison_hull.files), title(run.config.relax.potential)),
    )
    return Section("comparison", "The comparison hull", body)
