"""Definitions of terms."""

from markupsafe import Markup

from crystalformer_rl.evaluation.columns import BY_NAME
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import EHULL, Section
from crystalformer_rl.report.run import Run


def section(run: Run) -> Section:
    """Terms."""
    e = run.config.evaluate
    terms: dict[str, str] = {
        Markup("Energy above hull ({})").format(EHULL): "formation energy per atom minus that of "
        "the cheapest mixture of known phases of the same composition; negative below the "
        "reference hull.",
        "Stable": Markup(
            "relaxed, with {} below {:g} eV/atom, so that metastable structures count too. A "
            "relaxation that ran out of steps is evaluated as it is."
        ).format(EHULL, run.threshold),
        "Unique, novel": "by pymatgen's StructureMatcher (ltol "
        f"{e.length_tolerance:g}, stol {e.site_tolerance:g}, angle_tol {e.angle_tolerance:g}°) "
        "within a reduced formula: no earlier sample of the policy matches, and no crystal of the "
        "dataset.",
        **{
            markup.heading(name): markup.prose(BY_NAME[name].meaning)
            for name in ("sun", "sun_supported", "figure_of_merit")
        },
        "KL": Markup(
            "mean of ln p − ln p<sub>base</sub> over crystals sampled from the policy, given the "
            "space group, in nats per crystal."
        ),
    }
    return Section("reading", "Definitions", markup.piece("definitions", terms))
