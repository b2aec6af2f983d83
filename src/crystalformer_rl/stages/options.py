"""Flags that ``sample`` and ``chain`` share, and the settings they stand for."""

import argparse
import re
from pathlib import Path
from typing import Any

from crystalformer_rl.config import LONGEST_NAME, NAME
from crystalformer_rl.crystal.writers import FORMATS


def add_examples(parser: argparse.ArgumentParser, text: str | None) -> None:
    """Show what follows the first line of a module's docstring below the arguments.

    A docstring is no part of a stage's fingerprint: a better example draws no shard again.
    """
    parser.epilog = (text or "").partition("\n\n")[2]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Which policy, the seed, and where the crystals go."""
    group = parser.add_argument_group("policy and output")
    group.add_argument(
        "--policy",
        required=True,
        help="folder of the policy, or the name of one in resources/pretrained",
    )
    group.add_argument("--seed", type=int, default=0, help="seed of the run (default: 0)")
    group.add_argument(
        "--name", help="name in ids and in the seed (default: that of the policy's folder)"
    )
    group.add_argument(
        "--out",
        default="samples.parquet",
        metavar="FILE",
        help=f"what to write, by its suffix: {FORMATS}; default: samples.parquet",
    )


def name_of(args: argparse.Namespace, folder: Path) -> str:
    """``--name``, or that of the policy's folder; it becomes part of the names of files.

    Raises
    ------
    ValueError
        If it is no name of a file.
    """
    if args.name is None:
        return folder.resolve().name
    if not re.fullmatch(NAME, args.name) or len(args.name) > LONGEST_NAME:
        raise ValueError(
            f"--name {args.name!r} becomes part of the names of files: give at most {LONGEST_NAME} "
            "letters, digits, `_`, `.` and `-`, the first one a letter or a digit"
        )
    return str(args.name)


def add_elements(parser: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Which elements; the group comes back for more."""
    group = parser.add_argument_group("what every crystal obeys")
    group.add_argument("--elements", nargs="+", metavar="EL", help="allowed elements")
    group.add_argument(
        "--require", nargs="+", metavar="EL", help="elements that every crystal contains"
    )
    group.add_argument(
        "--exclude-radioactive",
        action="store_true",
        help="no Tc, no Pm, nothing from Po on, so no Th and U either (Bi stays, although the "
        "published list has it)",
    )
    group.add_argument("--exclude-noble-gases", action="store_true", help="no noble gas")
    group.add_argument(
        "--site-elements",
        nargs="+",
        metavar="EL,EL",
        help="allowed elements of the first, second, … site, a word with commas for each",
    )
    return group


def constraints(args: argparse.Namespace) -> dict[str, Any]:
    """The keys of ``ConstraintSettings`` that the flags of :func:`add_elements` set."""
    by_site = args.site_elements
    return given(
        elements=args.elements,
        required=args.require,
        exclude_radioactive=args.exclude_radioactive or None,
        exclude_noble_gases=args.exclude_noble_gases or None,
        site_elements=by_site and [word.split(",") for word in by_site],
    )


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}
