"""``completion``: print a script with which a shell completes verbs and options.

examples:
  bash, for this user
    crystalformer-rl completion bash > ~/.local/share/bash-completion/completions/crystalformer-rl
  zsh, in a folder of $fpath
    crystalformer-rl completion zsh > ~/.zfunc/_crystalformer-rl
"""

import argparse

import shtab

from crystalformer_rl.stages import options as flags
from crystalformer_rl.verbs import VERBS, parser


def add_arguments(described: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    flags.add_examples(described, __doc__)
    described.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="name of the shell")


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    print(shtab.complete(parser(VERBS), args.shell))
