"""Verbs called within a test, with the words of a command line."""

import argparse
from collections.abc import Sequence
from typing import Protocol


class Verb(Protocol):
    """A module of ``cli.VERBS``."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> None: ...


def parse(verb: Verb, words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a verb."""
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return parser.parse_args(words)


def run_verb(verb: Verb, words: Sequence[str]) -> None:
    """Run a verb in this process."""
    verb.run(parse(verb, words))
