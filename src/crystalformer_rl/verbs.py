"""The verbs of the command line: a table of their modules, and the parser of each.

A verb is a row of :data:`VERBS` and a module with ``add_arguments`` and ``run``. A module is
imported only when its arguments are needed, so that ``--help`` answers at once.
"""

import argparse
from importlib import import_module
from pathlib import Path

VERBS = {
    "dataset": ("stages.dataset", "Read, split and filter the source crystals"),
    "known": ("stages.known", "Describe the crystals of the dataset"),
    "energies": ("stages.energies", "Compute one shard of the energies that a hull needs"),
    "hull": ("stages.hull", "Build a convex hull from the dataset or from files"),
    "elements": ("stages.elements", "Compute a potential's energies of the elements"),
    "tokenize": ("stages.tokenize", "Convert structures to tokens"),
    "pretrain": ("stages.pretrain", "Train the base policy on the tokens"),
    "sft": ("stages.sft", "Fine-tune the base policy on its own relaxed samples"),
    "rl": ("stages.rl", "Run one round of RL fine-tuning"),
    "sample": ("stages.sample", "Sample crystals from a policy"),
    "external": ("stages.external", "Read crystals of another generator, in the form of samples"),
    "relax": ("stages.relax", "Relax one shard of sampled crystals"),
    "assess": ("stages.assess", "Evaluate one shard of sampled crystals"),
    "evaluate": ("stages.evaluate", "Join the assessed shards and find what is unique"),
    "report": ("stages.report", "Write the report of a run"),
    "download": ("stages.download", "Download and verify a file of resources/manifest.yaml"),
    "judge": ("tools.judge", "Evaluate the crystals of a file, without a workflow"),
    "chain": ("tools.chain", "Run Markov chains that start from a known structure"),
    "export": ("tools.export.command", "Export evaluated crystals for other programs"),
    "mine": ("tools.mine", "Write the best of all crystals that a branch of RL has sampled"),
    "import-checkpoint": ("tools.import_checkpoint", "Convert a published JAX checkpoint"),
    "publish": ("tools.publish", "Pack a trained policy into a small folder to share"),
    "doctor": ("tools.doctor.command", "Check the machine, the files and the cluster before a run"),
    "configure": ("tools.configure", "Regenerate config.yaml, its schema and the reference pages"),
    "embed": ("making.mp20", "Pack MP-20 for the repository"),
    "train-heads": ("making.heads", "Train the property models that are shipped"),
}
"""Each verb with its module, relative to the package, and one line for ``--help``."""


def common() -> argparse.ArgumentParser:
    """The arguments that every verb accepts."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--log-file", type=Path, help="also write the log to this file")
    parser.add_argument(
        "--threads",
        type=int,
        help="threads of the numerical libraries; the same number gives the same results",
    )
    return parser


def add_arguments(verb: str, parser: argparse.ArgumentParser) -> None:
    """Import the module of a verb and let it add its arguments and its ``run``."""
    module = import_module(f"crystalformer_rl.{VERBS[verb][0]}")
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
