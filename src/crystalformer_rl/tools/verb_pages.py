"""The reference of the command line, written from the parsers of the verbs."""

import argparse

from crystalformer_rl.verbs import GROUPS, add_arguments, common


def render_verbs() -> str:
    """Markdown: every verb with its summary and a table of its arguments."""
    lines = ["Every verb also accepts:", "", *_table(common())]
    for title, verbs in GROUPS.items():
        lines += ["", f"## {title}"]
        for verb, (_, summary) in verbs.items():
            parser = argparse.ArgumentParser(add_help=False)
            add_arguments(verb, parser)
            lines += ["", f"### {verb}", "", f"{summary}.", "", *_table(parser)]
    return "\n".join(lines) + "\n"


def _table(parser: argparse.ArgumentParser) -> list[str]:
    rows = ["| argument | values | default | meaning |", "|---|---|---|---|"]
    for action in parser._actions:
        name = ", ".join(f"`{flag}`" for flag in action.option_strings) or f"`{action.dest}`"
        # A literal % is doubled in a help text.
        meaning = (action.help or "").replace("%%", "%")
        cells = (name, _values(action), _default(action), meaning)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _values(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices is not None:
        text = " or ".join(str(choice) for choice in action.choices)
    elif isinstance(action.metavar, str):
        text = action.metavar
    elif isinstance(action.metavar, tuple):
        text = " ".join(action.metavar)
    else:
        text = {int: "integer", float: "number"}.get(action.type, action.dest.upper())  # type: ignore[call-overload]
    return f"{text} …" if action.nargs in ("+", "*") else text


def _default(action: argparse.Action) -> str:
    if action.required:
        return "required"
    if action.default == [] or any(
        action.default is none for none in (None, False, argparse.SUPPRESS)
    ):
        return ""
    return f"`{action.default}`"
