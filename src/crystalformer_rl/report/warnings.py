"""Everything about a run that a reader must know before trusting a number."""

from collections.abc import Mapping

from markupsafe import Markup

from crystalformer_rl.report.markup import EHULL, number, trusted
from crystalformer_rl.report.run import Run
from crystalformer_rl.report.values import Share
from crystalformer_rl.stability.hull import ARTEFACT_BELOW, STATUSES

FEW = 100
_EMPTY = (
    "The table of structures is empty, so there is nothing to show. See the logs of the "
    "stage `sample`, and `sample.count` in the configuration."
)
UNIQUE_AT_LEAST = 0.9
MANY_SHORT = 0.1  # fraction of the structures


def warnings(run: Run) -> list[Markup]:
    """The warnings that apply, the most serious first."""
    if not run.policies:
        return [*_no_judge(run), _warning("No structures", _EMPTY)]
    return [
        *_no_judge(run),
        *_hull(run),
        *_few(run),
        *_repeats(run),
        *_short(run),
        *_unplaced(run),
        *_cut(run),
    ]


def _no_judge(run: Run) -> list[Markup]:
    potential = run.config.relax.potential
    branches = run.config.rewarded.items()
    same = [f"rl-{name}" for name, b in branches if potential in b.reward.potentials]
    if run.config.judge.potential is not None or not same:
        return []
    return [
        _warning(
            "One potential for reward and evaluation",
            "The potential that rewarded {} also relaxed and evaluated all structures. Part of the "
            "gain of RL fine-tuning may be errors of the potential, found and exploited. Treat the "
            "gain as an upper bound until another potential or density-functional theory has "
            "confirmed it (`judge.potential`).",
            " and ".join(same),
        )
    ]


def _few(run: Run) -> list[Markup]:
    few = {n: e["generated"] for n, e in run.policies.items() if e["generated"] < FEW}
    text = (
        f"Fewer than {FEW} were sampled of a policy: {{}}. The intervals are wide, and small "
        "differences mean nothing."
    )
    return [_warning("Few structures", text, _listed(few))] if few else []


def _cut(run: Run) -> list[Markup]:
    cut = {}
    for name in run.config.external:
        record = run.provenance.get(f"sample/{name}/shard-0000", {})
        known = record.get("counts", {}).get("in_source", 0)
        if known > (taken := run.policies[name]["generated"]):
            cut[name] = f"the first {taken} of {known}"
    text = (
        "Of the structures of another generator, only as many were evaluated as were sampled of a "
        "policy: {}. Raise `sample.count` to evaluate all."
    )
    return [_warning("Structures left out", text, _listed(cut))] if cut else []


def _hull(run: Run) -> list[Markup]:
    found = []
    alone = {
        name: f"{count} of {entry['fractions']['sun']['k']}"
        for name, entry in run.policies.items()
        if (count := entry["sun_on_elements_alone"])
    }
    if alone:
        found.append(
            _warning(
                "Hulls of elements alone",
                "S.U.N. structures in whose chemical system the hull contains the elements and no "
                "compound: {}. For them <i>stable</i> only means a formation energy below {} "
                "eV/atom; whether they decompose into compounds was not tested. <i>S.U.N., "
                "supported</i> excludes them.",
                _listed(alone),
                f"{run.threshold:g}",
            )
        )
    deep = {
        name: count
        for name, entry in run.policies.items()
        if (count := entry["below_hull_artefacts"]["e_above_hull"])
    }
    if deep:
        found.append(
            _warning(
                "Suspiciously low energies",
                "Relaxed {} below {} eV/atom: {}. So far below a hull, a compound missing from the "
                "hull or an error of the potential is more likely than a discovery.",
                EHULL,
                number(ARTEFACT_BELOW, 1),
                _listed(deep),
            )
        )
    return found


def _short(run: Run) -> list[Markup]:
    if run.config.relax.max_steps == 0:
        text = (
            "The structures are evaluated as generated, above their minima, so the number of "
            "stable structures is a lower bound."
        )
        return [_warning("No relaxation", text)]
    short = {
        name: f"{count}/{e['generated']}"
        for name, e in run.policies.items()
        if (count := e["relax_status"].get("not_converged", 0)) > MANY_SHORT * e["generated"]
    }
    text = (
        "Out of steps: {}. These structures are evaluated at their last geometries, above their "
        "minima, so the number of stable structures is a lower bound."
    )
    return [_warning("Relaxations cut short", text, _listed(short))] if short else []


def _unplaced(run: Run) -> list[Markup]:
    found = []
    for status, meaning in STATUSES.items():
        count = sum(entry["hull_status"].get(status, 0) for entry in run.policies.values())
        if count and status not in ("ok", "no_energy"):  # failures are in the ledger
            text = (
                f"{{}} structures have the status `{status}`: "
                f"{meaning[0].lower()}{meaning[1:]} They do not count as stable."
            )
            found.append(_warning("No energy above hull", text, count))
    return found


def _repeats(run: Run) -> list[Markup]:
    unique = {name: Share.of(entry["fractions"]["unique"]) for name, entry in run.policies.items()}
    low = {n: f"{u.k}/{u.n}" for n, u in unique.items() if u.n and u.fraction < UNIQUE_AT_LEAST}
    text = (
        "Unique structures: {}. Repeats and samples that could not be decoded lower the number. "
        "After RL fine-tuning it may be a collapse: see the uniqueness over the steps."
    )
    return [_warning("Low uniqueness", text, _listed(low))] if low else []


def _warning(title: str, text: str, *values: object) -> Markup:
    """A title and a text of trusted HTML with `code`; the values are escaped."""
    return Markup("<b>{}.</b> {}").format(title, trusted(text).format(*values))


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
