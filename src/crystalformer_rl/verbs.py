"""The verbs of the command line: a table of their modules, and the parser of each.

A verb is a row of :data:`GROUPS` and a module with ``add_arguments`` and ``run``. A module is
imported only when its arguments are needed, so that ``--help`` answers at once.
"""

import argparse
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

PROGRAM = "crystalformer-rl"
DESCRIPTION = """\
Generate crystals space group by space group, fine-tune the generator with rewards, and judge what
it samples. `snakemake` runs the whole workflow; these verbs are its stages and tools."""
EXAMPLES = """\
Examples:
  crystalformer-rl sample --policy mp20-base --space-group 225 -n 20
  crystalformer-rl judge samples.parquet
  crystalformer-rl VERB --help"""

GROUPS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Crystals": {
        "sample": ("stages.sample", "Sample crystals from a policy"),
        "chain": ("tools.chain", "Run Markov chains that start from a known structure"),
        "judge": ("tools.judge", "Evaluate the crystals of a file, without a workflow"),
        "mine": ("tools.mine", "Write the best of all crystals that a branch of RL has sampled"),
        "export": ("tools.export.command", "Export evaluated crystals for other programs"),
    },
    "Runs, policies and machine": {
        "status": ("tools.status.command", "Say how far a run is"),
        "compare": ("tools.compare.command", "Put finished runs side by side in one page"),
        "import-checkpoint": ("tools.import_checkpoint", "Convert a published JAX checkpoint"),
        "publish": ("tools.publish", "Pack a trained policy into a small folder to share"),
        "download": ("stages.download", "Download and verify a file of resources/manifest.yaml"),
        "doctor": (
            "tools.doctor.command",
            "Check the machine, the files and the cluster before a run",
        ),
        "configure": (
            "tools.configure",
            "Regenerate config.yaml, its schema and the reference pages",
        ),
        "completion": ("tools.completion", "Print the completion of verbs and options for a shell"),
    },
    "Stages, which the rules of the workflow call": {
        "dataset": ("stages.dataset", "Read, split and filter the source crystals"),
        "known": ("stages.known", "Describe the crystals of the dataset"),
        "energies": ("stages.energies", "Compute one shard of the energies that a hull needs"),
        "hull": ("stages.hull", "Build a convex hull from the dataset or from files"),
        "elements": ("stages.elements", "Compute a potential's energies of the elements"),
        "tokenize": ("stages.tokenize", "Convert structures to tokens"),
        "pretrain": ("stages.pretrain", "Train the base policy on the tokens"),
        "sft": ("stages.sft", "Fine-tune the base policy on its own relaxed samples"),
        "rl": ("stages.rl", "Run one round of RL fine-tuning"),
        "external": (
            "stages.external",
            "Read crystals of another generator, in the form of samples",
        ),
        "relax": ("stages.relax", "Relax one shard of sampled crystals"),
        "assess": ("stages.assess", "Evaluate one shard of sampled crystals"),
        "evaluate": ("stages.evaluate", "Join the assessed shards and find what is unique"),
        "report": ("stages.report", "Write the report of a run"),
    },
    "Makers of the files that come with the repository": {
        "embed": ("making.mp20", "Pack MP-20 for the repository"),
        "train-heads": ("making.heads", "Train the property models that are shipped"),
    },
}
"""The verbs by group; each with its module, relative to the package, and a line for ``--help``."""

VERBS = {verb: row for group in GROUPS.values() for verb, row in group.items()}


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


class Overview(argparse.ArgumentParser):
    """The parser of the whole command line, whose help has the verbs in their groups."""

    def format_help(self) -> str:
        """Usage, description, verbs, options and examples."""
        width = max(map(len, VERBS)) + 2
        groups = [
            "\n".join([f"{title}:", *(f"  {verb:<{width}}{row[1]}" for verb, row in rows.items())])
            for title, rows in GROUPS.items()
        ]
        options = [
            f"  {', '.join(action.option_strings):<{width}}{action.help}"
            for action in self._actions
            if action.option_strings
        ]
        parts = [f"usage: {self.usage}", DESCRIPTION, *groups, "\n".join(["Options:", *options])]
        return "\n\n".join([*parts, EXAMPLES]) + "\n"


def parser(verbs: Iterable[str]) -> argparse.ArgumentParser:
    """The parser of the command line with the arguments of ``verbs``; only these are imported."""
    whole = Overview(prog=PROGRAM, usage=f"{PROGRAM} [-h] [--version] VERB ...")
    whole.add_argument(
        "--version",
        action="version",
        version=f"{PROGRAM} {version(PROGRAM)}",
        help="show the version and exit",
    )
    choices = whole.add_subparsers(
        dest="verb",
        metavar="VERB",
        required=True,
        prog=PROGRAM,
        parser_class=argparse.ArgumentParser,
    )
    for verb in verbs:
        _, summary = VERBS[verb]
        described = choices.add_parser(verb, help=summary, description=summary, parents=[common()])
        add_arguments(verb, described)
    return whole
