"""Run the command line as ``python -m crystalformer_rl``."""

from crystalformer_rl.cli import main

main()
