"""Reference pages of the lists in the code: the columns of the table of structures."""

from collections.abc import Sequence

from crystalformer_rl.evaluation.columns import COLUMNS, COMBINED


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


def _table(heading: str, rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {heading} |", "|" + "---|" * (heading.count("|") + 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
