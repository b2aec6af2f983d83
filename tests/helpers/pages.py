"""The fenced blocks of the documentation: commands to run, files and changes to apply."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from helpers.copies import REPOSITORY, Copy, copy_repository

FENCE = re.compile(r"^( *)```(\w*)(?: title=\"([^\"]*)\")?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its page and line, language, title ("" if none) and text."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page with commands, relative to the repository."""
    docs = sorted(str(p.relative_to(REPOSITORY)) for p in (REPOSITORY / "docs").rglob("*.md"))
    return ["README.md", "CONTRIBUTING.md", "resources/pretrained/README.md", *docs]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        indent, language, title, body = match.groups()
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, title or "", "\n".join(lines) + "\n"))
    return found


def commands(block: Block) -> list[str]:
    """The commands of a block, one string each; continued lines are joined."""
    joined = block.text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def copy_with_pages(folder: Path) -> Copy:
    """A copy of the repository with what the commands of a page need: docs and tests too."""
    copy = copy_repository(folder)
    for part in ("docs", "tests"):
        shutil.copytree(
            REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    return copy


def apply(block: Block, copy: Copy) -> None:
    """Write the file of a block, or change it: a block in the language "diff" is a change.

    The lines of a hunk that start with a space or "-" must occur once in the file, one after the
    other; those with a space or "+" replace them. A line that starts with "@@" separates hunks.
    """
    path = copy.folder / block.title
    if block.language != "diff":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return
    for hunk in re.split(r"^@@.*\n", block.text, flags=re.MULTILINE):
        lines = hunk.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
        after = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
        if lines:
            text = path.read_text(encoding="utf-8")
            assert text.count(before) == 1, f"{block}: not once in {block.title}:\n{before}"
            path.write_text(text.replace(before, after), encoding="utf-8")


def run_command(command: str, copy: Copy) -> tuple[int, str]:
    """Exit code and output of a command of a page, run in the copy."""
    done = subprocess.run(
        command, shell=True, cwd=copy.folder, env=environment(copy),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def environment(copy: Copy) -> dict[str, str]:
    """The environment in which a command of a page runs: with the package of the copy."""

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(copy.folder / "src")}
