"""The reference of the command line, written from the parsers of the verbs."""

import argparse

from crystalformer_rl.verbs import VERBS, add_arguments, common

GROUPS = {
    "stages": "Stages",
    "tools": "Tools",
    "making": "Makers of the shipped files",
}
"""Folder of a verb's module, and the heading it is listed under."""
NOTES = {
    "stages": "The rules of the workflow call these. Most can be called by hand as well.",
    "tools": "Not part of the workflow: to be called by hand.",
    "making": "These made files that come with the repository. A user does not need them.",
}


def render_verbs() -> str:
    """Markdown: every verb with its summary and a table of its arguments."""
    lines = ["Every verb also accepts:", "", *_table(common())]
    for room, heading in GROUPS.items():
        lines += ["", f"## {heading}", "", NOTES[room]]
        for verb, (module, summary) in VERBS.items():
            if module.partition(".")[0] == room:
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
