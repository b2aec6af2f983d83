"""The command line: ``crystalformer-rl VERB …`` imports the module of that verb and calls it.

A verb is a row of :data:`VERBS` and a module with ``add_arguments`` and ``run``. Only the module of
the requested verb is imported, so that ``--help`` answers at once.
"""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel, ValidationError

from crystalformer_rl import config
from crystalformer_rl.config.errors import explain

DESCRIPTION = (
    "Stages of the CrystalFormer-RL workflow, one verb each; `snakemake` calls them in order."
)
VERBS = {
    "dataset": ("stages.dataset", "Read, split and filter the source crystals"),
    "hull": ("stages.hull", "Build a convex hull from the dataset or from files"),
    "elements": ("stages.elements", "Compute a potential's energies of the elements"),
    "tokenize": ("stages.tokenize", "Convert structures to tokens"),
    "pretrain": ("stages.pretrain", "Train the base policy on the tokens"),
    "sft": ("stages.sft", "Fine-tune the base policy on its own relaxed samples"),
    "rl": ("stages.rl", "Run one round of RL fine-tuning"),
    "sample": ("stages.sample", "Sample crystals from a policy"),
    "relax": ("stages.relax", "Relax one shard of sampled crystals"),
    "evaluate": ("stages.evaluate", "Evaluate every sampled crystal"),
    "report": ("stages.report", "Write the report of a run"),
    "download": ("stages.download", "Download and verify a file of resources/manifest.yaml"),
    "chain": ("tools.chain", "Run Markov chains that start from a known structure"),
    "export": ("tools.export", "Export evaluated crystals for other benchmarks"),
    "import-checkpoint": ("tools.import_checkpoint", "Convert a published JAX checkpoint"),
    "publish": ("tools.publish", "Pack a trained policy into a small folder to share"),
    "doctor": ("tools.doctor.command", "Check the machine, the files and the cluster before a run"),
    "configure": ("tools.configure", "Regenerate config.yaml, its schema and its documentation"),
    "embed": ("making.embedded", "Rebuild the embedded crystals"),
    "train-heads": ("making.heads", "Train the shipped property models"),
}
"""Each verb with its module, relative to the package, and one line for ``--help``."""
# Read by the numerical libraries when they are loaded. Snakemake sets them to what a machine has.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
# Said by pymatgen once per noble gas; the number is not used here.
KNOWN_WARNINGS = ("No Pauling electronegativity",)

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; ends the process with code 1 and one line if what it was given is at fault."""
    words = list(sys.argv[1:] if argv is None else argv)
    threads = _common().parse_known_args(words)[0].threads
    if threads is not None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    os.environ.setdefault("MPLBACKEND", "Agg")
    arguments = _parser(words).parse_args(words)
    try:
        _start_log(arguments.log_file)
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        log.debug("%s failed", arguments.verb, exc_info=error)
        where = f" (details in {arguments.log_file})" if arguments.log_file else ""
        log.error("%s: %s%s", arguments.verb, _in_words(error), where)  # noqa: TRY400
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception:
        log.exception("%s: this is a defect of the program, or of a library", arguments.verb)
        raise SystemExit(1) from None


def _common() -> argparse.ArgumentParser:
    """What every verb accepts."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--log-file", type=Path, help="also write the log to this file")
    common.add_argument(
        "--threads",
        type=int,
        help="threads of the numerical libraries; the same number gives the same results",
    )
    return common


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the verb in ``words`` knows its arguments."""
    parser = argparse.ArgumentParser(prog="crystalformer-rl", description=DESCRIPTION)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for verb, (module, summary) in VERBS.items():
        described = verbs.add_parser(verb, help=summary, description=summary, parents=[_common()])
        if verb == chosen:
            stage = import_module(f"crystalformer_rl.{module}")
            stage.add_arguments(described)
            described.set_defaults(run=stage.run)
    return parser


def _start_log(path: Path | None) -> None:
    """Log of this package to stderr, and with tracebacks to a file."""
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.INFO)
    handlers: list[logging.Handler] = [terminal]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="a", encoding="utf-8"))
    logging.basicConfig(format=LOG_FORMAT, handlers=handlers, force=True)
    logging.getLogger("crystalformer_rl").setLevel(logging.DEBUG)
    logging.captureWarnings(capture=True)
    for message in KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def _in_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        model = getattr(config, error.title, BaseModel)
        return explain(error, model).replace("\n", "; ")
    return str(error) or type(error).__name__
