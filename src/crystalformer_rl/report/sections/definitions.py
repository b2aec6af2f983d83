"""Definitions of terms, and how the figures correspond to the paper's."""

from markupsafe import Markup

from crystalformer_rl.evaluation.columns import BY_NAME
from crystalformer_rl.report import markup
from crystalformer_rl.report.markup import EHULL, Section
from crystalformer_rl.report.run import Run

PAPER = Markup('<a href="https://arxiv.org/abs/2504.02367">arXiv:2504.02367</a>')
FIGURES = (
    (
        "Energy above hull",
        Markup("histogram of {} of the base and the fine-tuned policy").format(EHULL),
        "energies are of Orb-v2 on the Alexandria hull; the base policy has 4.8 million "
        "parameters and was trained on Alex-20",
    ),
    (
        "Course of reinforcement",
        Markup("mean {} and KL against step").format(EHULL),
        "100 to 200 steps of 1000 crystals each",
    ),
    (
        "S.U.N. by space group",
        "S.U.N. per space group",
        "its 14 groups are 1, 2, 6, 15, 38, 71, 119, 131, 143, 159, 187, 194, 204 and 216",
    ),
    (
        "Band gap and dielectric constant",
        "band gap against dielectric constant with lines of equal figure of merit",
        "trained and shown in space group 225 only; stability was filtered afterwards",
    ),
)


def section(run: Run) -> Section:
    """Terms, and the table of the paper's figures."""
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
    mapping = markup.table(
        ["this page", "figure of the paper", "differences there"],
        FIGURES,
        kind="words",
        caption=Markup(
            "The section that corresponds to each figure of Cao &amp; Wang, {}. The shapes can be "
            "compared; the values only where potential, hull, data and model are the same."
        ).format(PAPER),
    )
    body = markup.piece("definitions", terms) + mapping
    return Section("reading", "Definitions, and the paper", body)
