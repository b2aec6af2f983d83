"""Reference pages of the lists in the code: columns, statuses, potentials and rewards."""

from collections.abc import Iterable, Sequence

from crystalformer_rl.config.potentials import POTENTIALS
from crystalformer_rl.config.property_rewards import PROPERTIES
from crystalformer_rl.config.reward_base import DEFAULT_GUARDS, GUARDS
from crystalformer_rl.config.rewards import REWARDS
from crystalformer_rl.evaluation.columns import COLUMNS, COMBINED
from crystalformer_rl.evaluation.criteria import FAILURE_STAGES
from crystalformer_rl.potentials import relax
from crystalformer_rl.stability import hull


def render_columns() -> str:
    """Markdown: every column of the table of structures, and the fractions of two flags."""
    columns = [
        (
            f"`{column.name}`", column.type, column.unit, column.meaning, column.summary,
            f"`{column.only_with}`" if column.only_with else "",
        )
        for column in COLUMNS
    ]  # fmt: skip
    combined = [
        (f"`{one.name}`", f"`{one.flags[0]}` and `{one.flags[1]}`", one.meaning) for one in COMBINED
    ]
    return (
        _table("column | type | unit | definition | in `summary.json` | only with", columns)
        + "\n`summary.json` also has the fractions of crystals that carry two flags:\n\n"
        + _table("fraction | flags | definition", combined)
    )


def render_statuses() -> str:
    """Markdown: the statuses of relaxations and energies above hull, and the stages of failures."""
    return "\n".join(
        [
            _meanings("Relaxation: `relax_status`, `judge_status`", relax.STATUSES.items()),
            _meanings(
                "Energy above hull: `hull_status`, `judge_hull_status`, `comparison_hull_status`",
                hull.STATUSES.items(),
            ),
            _meanings("First stage that failed a crystal: `failure`", FAILURE_STAGES.items()),
        ]
    )


def render_potentials() -> str:
    """Markdown: every potential that a configuration can name."""
    rows = [
        (
            " or ".join(f"`{form}`" for form in info.forms),
            info.title,
            ", ".join(info.packages),
            info.licence,
            f"`{info.model}`: {info.model_is}" if info.model else "one only",
            "yes" if info.pickled else "no",
        )
        for info in POTENTIALS.values()
    ]
    return _table("name | potential | packages | licence of the package | model | pickled", rows)


def render_rewards() -> str:
    """Markdown: every reward, every property that can be one, and every guard."""
    rewards = [
        (f"`{kind}`", (settings.__doc__ or "").partition("\n")[0], settings.value, settings.needs)
        for kind, settings in REWARDS.items()
    ]
    properties = [
        (f"`{name}`", one.title, one.unit, one.source) for name, one in PROPERTIES.items()
    ]
    guards = [
        (
            f"`{name}`",
            "yes" if name in DEFAULT_GUARDS else "no",
            guard.meaning,
            f"`{name}_fraction`",
        )
        for name, guard in GUARDS.items()
    ]
    return (
        _table("reward | what is rewarded | value | needs", rewards)
        + "\n## Properties\n\n"
        + _table("`name` | property | unit | source", properties)
        + "\n## Guards\n\n"
        + _table("guard | default | what it does | in the history", guards)
    )


def _meanings(title: str, meanings: Iterable[tuple[str, str]]) -> str:
    rows = [(f"`{name}`", meaning) for name, meaning in meanings]
    return f"## {title}\n\n" + _table("value | meaning", rows)


def _table(heading: str, rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {heading} |", "|" + "---|" * (heading.count("|") + 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
