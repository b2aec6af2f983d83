"""Shards on a command line: ``FOLDER:COUNT``, since thousands of paths do not fit into one."""

import argparse
from pathlib import Path


def shards(text: str, *, suffix: str = "parquet") -> list[Path]:
    """The first COUNT shards of ``FOLDER:COUNT``; for argparse.

    >>> [path.name for path in shards("results/default/sample/base:2")]
    ['shard-0000.parquet', 'shard-0001.parquet']

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is not of that form, or the count not above 0.
    """
    folder, colon, count = text.rpartition(":")
    if not (folder and colon and count.isdecimal() and int(count) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} must be FOLDER:COUNT with a count above 0")
    return [Path(folder) / f"shard-{number:04d}.{suffix}" for number in range(int(count))]


def provenance_of_shards(text: str) -> list[Path]:
    """The provenance files of the first COUNT shards of ``FOLDER:COUNT``."""
    return shards(text, suffix="provenance.json")


def shards_by_policy(text: str) -> list[tuple[str, Path]]:
    """The shards of ``POLICY=FOLDER:COUNT``, each with its policy."""
    policy, equals, rest = text.partition("=")
    if not (policy and equals):
        raise argparse.ArgumentTypeError(f"{text!r} must be POLICY=FOLDER:COUNT")
    return [(policy, path) for path in shards(rest)]
