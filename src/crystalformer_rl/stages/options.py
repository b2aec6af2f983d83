"""Options shared by ``sample`` and ``chain``, and the settings they correspond to."""

import argparse
import re
from pathlib import Path
from typing import Any

from crystalformer_rl.config import LONGEST_NAME, NAME
from crystalformer_rl.crystal.writers import FORMATS


def add_examples(parser: argparse.ArgumentParser, text: str | None) -> None:
    """Show a module's docstring, without its first line, below the arguments.

    Docstrings are not part of a stage's fingerprint, so that a better example reruns nothing.
    """
    parser.epilog = (text or "").partition("\n\n")[2]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Options for the policy, the seed and the output."""
    group = parser.add_argument_group("policy and output")
    group.add_argument(
        "--policy",
        required=True,
        help="folder of the policy, or the name of one in resources/pretrained",
    )
    group.add_argument("--seed", type=int, default=0, help="seed of the run (default: 0)")
    group.add_argument(
        "--name", help="name used in ids and in the seed (default: the name of the policy's folder)"
    )
    group.add_argument(
        "--out",
        default="samples.parquet",
        metavar="FILE",
        help=f"output file; its suffix selects the format: {FORMATS}; default: samples.parquet",
    )


def name_of(args: argparse.Namespace, folder: Path) -> str:
    """``--name``, or the name of the policy's folder; it is used in file names.

    Raises
    ------
    ValueError
        If it is not a valid file name.
    """
    if args.name is None:
        return folder.resolve().name
    if not re.fullmatch(NAME, args.name) or len(args.name) > LONGEST_NAME:
        raise ValueError(
            f"--name {args.name!r} is used in file names: give at most {LONGEST_NAME} "
            "letters, digits, `_`, `.` and `-`, the first one a letter or a digit"
        )
    return str(args.name)


def add_elements(parser: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Options for the elements; returns the group for further options."""
    group = parser.add_argument_group("constraints on every crystal")
    group.add_argument("--elements", nargs="+", metavar="EL", help="allowed elements")
    group.add_argument(
        "--require", nargs="+", metavar="EL", help="elements that every crystal must contain"
    )
    group.add_argument(
        "--exclude-radioactive",
        action="store_true",
        help="no Tc, Pm, Po or heavier elements, so no Th and U either (unlike in the published "
        "list, Bi is allowed)",
    )
    group.add_argument("--exclude-noble-gases", action="store_true", help="no noble gases")
    group.add_argument(
        "--site-elements",
        nargs="+",
        metavar="EL,EL",
        help="allowed elements of the first, second, … site, each as a comma-separated list",
    )
    return group


def constraints(args: argparse.Namespace) -> dict[str, Any]:
    """The keys of ``ConstraintSettings`` set by the options of :func:`add_elements`."""
    by_site = args.site_elements
    return given(
        elements=args.elements,
        required=args.require,
        exclude_radioactive=args.exclude_radioactive or None,
        exclude_noble_gases=args.exclude_noble_gases or None,
        site_elements=by_site and [word.split(",") for word in by_site],
    )


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
