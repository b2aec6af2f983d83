"""The sections about the judged structures, from the policies to the properties."""

from collections.abc import Mapping
from typing import Any

from crystalformer_rl.config import EvaluateSettings
from crystalformer_rl.config.judging import Tolerances
from crystalformer_rl.report import figures, markup, tables
from crystalformer_rl.report.markup import EHULL, Section, escape, number
from crystalformer_rl.report.style import policy_colours
from crystalformer_rl.report.tables import Summary

_DEFINITIONS = {
    "decoded": "the tokens are a crystal: its cell has a volume and its sites fit its space group",
    "valid": "smallest distance above 0.5 Å, volume above 0.1 Å³, charges can balance (SMACT)",
    "valid_density": "between 0.01 and 25 g/cm³; no part of <i>valid</i>",
    "relaxed": "the relaxation of positions and cell reached its force threshold",
    "stable": "energy above hull after relaxation, finished or not, below the threshold",
    "unique": "the first of its kind among all decoded structures of the policy (StructureMatcher)",
    "novel": "no structure of the dataset matches it (StructureMatcher)",
    "sun": "stable, the first of its kind among the stable ones, and novel",
    "sun_supported": "S.U.N., where the hull of the chemical system holds a known compound beside "
    f"the elements and {EHULL} is not below {number(tables.ARTEFACT_BELOW, 1)} eV/atom",
}
_MEASURES = {
    "e_above_hull_initial": (f"{EHULL} as generated (eV/atom)", 3),
    "e_above_hull": (f"{EHULL} after relaxation (eV/atom)", 3),
    "rmsd": ("moved by relaxation (Å, as MatterGen)", 3),
    "band_gap": ("band gap (eV)", 2),
    "dielectric": ("dielectric constant", 2),
    "figure_of_merit": ("figure of merit (eV)", 2),
}


def tiles(summary: Summary) -> str:
    """One tile per policy with its headline numbers."""
    names = tables.policies_of(summary)
    colours = policy_colours(names)
    texts = []
    for name in names:
        sun, supported, unique = (
            tables.share(summary, name, flag) for flag in ("sun", "sun_supported", "unique")
        )
        energy = tables.mean(summary, name, "e_above_hull_initial").value
        texts.append(
            f'<div class="tile" style="--tone:{colours[name]}"><h3>{escape(name)}</h3>'
            f'<div class="big">{markup.percent(sun.fraction)}</div>'
            f"<p>S.U.N., {sun.k} of {sun.n}</p><p>S.U.N., supported "
            f"{markup.percent(supported.fraction)}, {supported.k} of {supported.n}</p>"
            f"<p>mean unrelaxed {EHULL} {number(energy)} eV</p>"
            f"<p>unique {markup.percent(unique.fraction)}</p></div>"
        )
    return f'<div class="tiles">{"".join(texts)}</div>'


def policies(summary: Summary, drawn: Mapping[str, str]) -> Section:
    """The table of fractions, the table of means, and the funnel."""
    names = tables.policies_of(summary)
    colours = policy_colours(names)
    meanings = "; ".join(f"<b>{_title(k)}</b>: {v}" for k, v in _DEFINITIONS.items())
    dots = [markup.dot(colours[name]) + escape(name) for name in names]
    fractions = markup.table(
        ["policy", *map(_title, tables.SHARES)],
        [
            [dot, *(markup.share(tables.share(summary, name, flag)) for flag in tables.SHARES)]
            for name, dot in zip(names, dots, strict=True)
        ],
        caption=f"Each test on its own, of all sampled structures, k/n and 95 % Wilson interval "
        f"in per cent. {meanings}.",
    )
    means = markup.table(
        ["policy", *(label for label, _ in _MEASURES.values())],
        [
            [
                dot,
                *(
                    markup.interval(tables.mean(summary, name, key), digits)
                    for key, (_, digits) in _MEASURES.items()
                ),
            ]
            for name, dot in zip(names, dots, strict=True)
        ],
        caption="Means over the n structures for which the quantity exists, with 95 % interval "
        "(Student's t), and the median. A mean over survivors flatters a policy that fails often: "
        "read it with n. The figure of merit is band gap × electronic dielectric constant.",
    )
    funnel = markup.picture(
        "funnel",
        drawn["funnel"],
        label="Bars per policy: how many structures pass each test in turn",
        caption="The funnel: each bar counts the structures that passed its test and all tests "
        "above it. Judged: the relaxed structure has an energy above hull, also if it ran out of "
        "steps. Unique means among the stable ones, so that the last bar is the S.U.N. count. "
        "Validity (table above) is reported, but is no condition of it.",
    )
    return Section("policies", "The policies", fractions + means + funnel)


def diversity(summary: Summary, tolerances: EvaluateSettings) -> Section:
    """Uniqueness and novelty by both sets of tolerances, and how many kinds there are."""
    names = tables.policies_of(summary)
    colours = policy_colours(names)
    dots = {name: markup.dot(colours[name]) + escape(name) for name in names}
    flags = [flag + end for flag in tables.STRICT for end in ("", "_strict")]
    matching = markup.table(
        ["policy", *(_title(flag.removesuffix("_strict")) + end
                     for flag in tables.STRICT for end in ("", ", strict"))],
        [
            [dots[name], *(markup.share(tables.share(summary, name, flag)) for flag in flags)]
            for name in names
        ],
        caption="The same structures compared twice with pymatgen's StructureMatcher: with the "
        f"tolerances of the run ({_tolerances(tolerances)}), which the rest of the page uses, and "
        f"with strict ones ({_tolerances(tolerances.strict)}). What tighter tolerances tell apart "
        "counts as unique and as new more often: where the columns differ much, the verdict hangs "
        "on what is called the same.",
    )  # fmt: skip
    kinds = markup.table(
        ["policy", *(kind.replace("_", " ") for kind in tables.KINDS)],
        [
            [
                dots[name],
                *(_kinds(summary["policies"][name]["diversity"][kind]) for kind in tables.KINDS),
            ]
            for name in names
        ],
        caption="Distinct kinds among the decoded structures; effective number, exp(entropy): as "
        "many equally frequent kinds would be as diverse; and which of the training set's kinds "
        "occur, in brackets the share expected of as many structures drawn from the training set. "
        "Counts grow with the number of structures: compare policies of equal size. A prototype "
        "is the space group with the Wyckoff letters of the sites, as generated.",
    )
    return Section("diversity", "Matching and diversity", matching + kinds)


def _tolerances(e: Tolerances) -> str:
    return (
        f"ltol {e.length_tolerance:g}, stol {e.site_tolerance:g}, angle_tol {e.angle_tolerance:g}°"
    )


def _kinds(entry: Mapping[str, Any]) -> str:
    """Distinct kinds, and beneath them their effective number and coverage."""
    cell = f"<b>{entry['distinct']}</b><small>effective {number(entry['effective'], 1)}</small>"
    coverage = entry["coverage"]
    if coverage is None or not coverage["of"]:
        return cell
    share, expected = (markup.percent(coverage[name]) for name in ("fraction", "expected"))
    return f"{cell}<small>{coverage['covered']}/{coverage['of']} = {share} [{expected}]</small>"


def energies(drawn: Mapping[str, str], *, threshold: float) -> Section:
    """Histograms and means of the energy above hull."""
    low, high = figures.EHULL_RANGE
    histogram = markup.picture(
        "ehull-histograms",
        drawn["ehull-histograms"],
        label="Histograms of energy above hull per policy before and after relaxation",
        caption="Energy above hull of every policy, as generated (single point) and after "
        "relaxation. Bars are fractions of all sampled structures, the thin outline repeats the "
        f"base policy, the dashed line is the stability threshold, {threshold:g} eV/atom. Not "
        f"drawn, but counted: values outside {number(low, 1)} to {number(high, 1)} eV/atom, "
        "and failures.",
    )
    means = markup.picture(
        "ehull-means",
        drawn["ehull-means"],
        label="Mean energy above hull per policy with intervals",
        caption="Mean energy above hull with 95 % interval, as generated (disc) and after "
        "relaxation (ring). The distance between the two is what relaxation gains: the smaller, "
        "the nearer the samples are to their minima.",
    )
    return Section("energies", "Energy above hull", histogram + means)


def space_groups(drawn: Mapping[str, str], *, groups: int) -> Section:
    """S.U.N. per space group."""
    body = markup.picture(
        "sun-by-group",
        drawn["sun-by-group"],
        label="Bars: S.U.N. fraction per space group and policy",
        caption=f"Fraction of S.U.N. structures among those sampled in a space group: the {groups} "
        "groups that were sampled most, with 95 % Wilson intervals. The space "
        "group is the prompt of the generator, not a result. With few samples per group the "
        "intervals are wide. All groups, with n, stand in tables/space_groups.csv.",
    )
    return Section("space-groups", "S.U.N. by space group", body)


def properties(drawn: Mapping[str, str]) -> Section:
    """Gap against dielectric constant."""
    body = markup.picture(
        "gap-dielectric",
        drawn["gap-dielectric"],
        label="Band gap against dielectric constant per policy, with figure-of-merit lines",
        caption="Predicted band gap and electronic dielectric constant of every structure that has "
        "both: dots are not stable, rings stable, stars S.U.N. Along a dashed line the figure of "
        "merit, gap × constant, is the same. Both numbers are means of an ensemble of regression "
        "heads on CHGNet features; they are a guide for screening, not a measurement.",
    )
    return Section("properties", "Band gap and dielectric constant", body)


def _title(name: str) -> str:
    words = {"sun": "S.U.N.", "sun_supported": "S.U.N., supported", "valid_density": "density"}
    return words.get(name, name)
