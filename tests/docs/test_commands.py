"""Every command in the documentation is run, or is marked and at least read.

A block of commands has the language "bash". Without a title its commands are run, one after the
other, in a copy of the repository. One of the titles in :data:`MARKS` says what they would need;
then their verbs, flags, files and configuration keys are checked.
"""

import argparse
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from helpers.copies import REPOSITORY
from helpers.pages import Block, blocks, commands, copy_with_pages, pages, run_command
from snakemake.cli import parse_args, parse_config
from snakemake.utils import update_config

from crystalformer_rl.config import read
from crystalformer_rl.verbs import VERBS, add_arguments, common

MARKS = (
    "takes minutes",
    "needs a finished run",
    "needs files of your own",
    "needs the network",
    "needs a cluster",
    "needs a GPU",
    "needs a new clone",
)
# Programs of the system, whose arguments are not checked.
SYSTEM = {
    "apptainer", "apt-get", "cd", "chgrp", "chmod", "cp", "docker", "find", "git", "pip", "sacct",
    "sbatch", "scancel", "source", "squeue", "tail", "umask",
}  # fmt: skip
BLOCKS = [block for page in pages() for block in blocks(page)]
COMMANDS = [block for block in BLOCKS if block.language == "bash"]
MARKED = [(block, line) for block in COMMANDS if block.title for line in commands(block)]
RUN = sorted({block.page for block in COMMANDS if not block.title})
# What a plan has to show; `--quiet` without `rules` would suppress it.
JOB_TABLE = re.compile(r"^job +count$", re.MULTILINE)
# The recipes have a copy of the repository for each page: test_recipes.py.
RECIPES = re.compile(r"docs/howto/(own-[rpm]|add-)")


@pytest.mark.parametrize("page", [page for page in RUN if not RECIPES.match(page)])
def test_unmarked_commands_succeed(page: str, tmp_path: Path) -> None:
    copy = copy_with_pages(tmp_path / "clone")
    for block in blocks(page):
        if block.language == "bash" and not block.title:
            for command in commands(block):
                code, output = run_command(command, copy)
                assert code == 0, f"{block}: {command}\n{output}"
                if command.startswith("snakemake -n"):
                    assert JOB_TABLE.search(output), f"{block}: {command}\n{output}"


@pytest.mark.parametrize(("block", "command"), MARKED, ids=lambda value: str(value)[:60])
def test_marked_commands_are_well_formed(
    block: Block, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert block.title in MARKS, f"{block}: unknown mark {block.title!r}"
    monkeypatch.chdir(REPOSITORY)
    for part in re.split(r"&&|\|\|", command):
        check(shlex.split(part, comments=True))


def check(words: list[str]) -> None:
    """Fail if the command could not be meant: an unknown verb, flag, key, target or file."""
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    program = words[0].rpartition("/")[2]
    if program == "crystalformer-rl":
        parser_of(words[1]).parse_args(words[2:])
    elif program == "snakemake":
        check_snakemake(words[1:])
    elif program == "make":
        targets = [word for word in words[1:] if "=" not in word]
        makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in targets), targets
    elif program == "python" and words[1] == "-m":
        assert find_spec(words[2]), words[2]
    elif program in ("python", "pytest"):
        assert Path(words[1]).exists(), words[1]
    else:
        assert program in SYSTEM, f"unknown program {program!r}"
        for inner in re.findall(r"--wrap \"?([^\"]+)", " ".join(words)):
            check(shlex.split(inner))


def parser_of(verb: str) -> argparse.ArgumentParser:
    assert verb in VERBS, verb
    parser = argparse.ArgumentParser(parents=[common()])
    add_arguments(verb, parser)
    return parser


def check_snakemake(words: list[str]) -> None:
    """Fail if snakemake does not know a flag, or the configuration is not valid."""
    _, given = parse_args(words)
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    for overlay in given.configfile or []:
        # One that a page lets the user write is a block of its own: test_overlays_are_valid.
        if overlay.is_file():
            update_config(config, yaml.safe_load(overlay.read_text(encoding="utf-8")))
    update_config(config, parse_config(given.config or []))
    read(config)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=str)
def test_overlays_are_valid(block: Block) -> None:
    """A block of YAML is an overlay of config.yaml, unless its title names another file."""
    if block.title.startswith("workflow/"):
        assert (REPOSITORY / block.title).is_file()
        return
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    update_config(config, yaml.safe_load(block.text))
    read(config)


def test_commands_are_in_blocks_of_their_own() -> None:
    """A command in an indented block would be neither run nor read."""
    pattern = re.compile(r"^ {4}(crystalformer-rl|snakemake|make|pytest|python)\b.*", re.MULTILINE)
    found = {}
    for page in pages():
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        for block in blocks(page):
            text = text.replace(block.text, "")
        if lines := pattern.findall(text):
            found[page] = lines
    assert found == {}


def test_python_blocks_compile() -> None:
    for block in BLOCKS:
        # Rules are shown in Python's colours; test_recipes.py gives them to Snakemake.
        if block.language == "python" and not block.title.endswith(".smk"):
            compile(block.text, str(block), "exec")
