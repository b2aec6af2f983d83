"""The report of the doctor: a finding per check, and the line of a file to change."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    topic
        What it is: ``package torch``.
    status
        ``problem``: a run would fail or wait for ever; ``warning``: it may.
    found
        What there is, compared with what was expected.
    change
        What to do about it; empty where nothing need be done.
    """

    topic: str
    status: Status
    found: str
    change: str = ""


def table(findings: Sequence[Finding]) -> str:
    """The findings as lines of text, what to change beneath each, and a verdict."""
    width = max((len(finding.topic) for finding in findings), default=0)
    lines = []
    for finding in findings:
        margin = "\n" + " " * (width + 11)
        found = finding.found.replace("\n", margin)
        lines.append(f"{finding.status:<8} {finding.topic:<{width}}  {found}")
        if finding.change:
            lines[-1] += f"{margin}-> {finding.change}"
    problems, warnings = count(findings, "problem"), count(findings, "warning")
    verdict = f"{problems} problems, {warnings} warnings"
    return "\n".join([*lines, "", verdict if problems else f"ready to run: {verdict}"]) + "\n"


def count(findings: Iterable[Finding], status: Status) -> int:
    """How many findings have a status."""
    return sum(finding.status == status for finding in findings)


def place(files: Sequence[Path], *keys: str) -> str:
    """``FILE, line N: `a: b:` `` of a key, in the last of the files that has it.

    A key that is nowhere belongs into the last file.
    """
    path = "".join(f" {key}:" for key in keys).strip()
    for file in reversed(files):
        if (line := _line(file, keys)) is not None:
            return f"{file}, line {line}: `{path}`"
    return f"{files[-1]}: `{path}`"


def _line(file: Path, keys: Sequence[str]) -> int | None:
    """The line, from 1, in which the last of the nested keys stands; aliases are followed."""
    if not file.is_file():
        return None
    node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = None
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            return None
        parts = {name.value: (name, value) for name, value in node.value}
        if key not in parts:
            return None
        line = parts[key][0].start_mark.line + 1
        node = parts[key][1]
    return line
