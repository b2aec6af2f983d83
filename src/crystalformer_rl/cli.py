"""The command line: ``crystalformer-rl VERB …`` imports the module of that verb and calls it.

The verbs are in :mod:`crystalformer_rl.verbs`. Only the module of the requested verb is imported,
so that ``--help`` answers at once.
"""

import argparse
import difflib
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from crystalformer_rl import config
from crystalformer_rl.config.errors import explain
from crystalformer_rl.verbs import PROGRAM, VERBS, common, parser

# Read by the numerical libraries when they are loaded. Snakemake sets them for each job.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
# From pymatgen, for noble gases and others whose electronegativity is not used.
KNOWN_WARNINGS = ("No Pauling electronegativity",)

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; exit with code 1 and a one-line message on invalid input."""
    words = list(sys.argv[1:] if argv is None else argv)
    threads = common().parse_known_args(words)[0].threads
    if threads is not None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    os.environ.setdefault("MPLBACKEND", "Agg")
    arguments = _parser(words).parse_args(words)
    try:
        _start_log(arguments.log_file)
        arguments.run(arguments)
    except BrokenPipeError:
        # The reader of the output, such as `head`, has ended. Python must not write to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except (ValueError, OSError) as error:
        log.debug("%s failed", arguments.verb, exc_info=error)
        where = f" (details in {arguments.log_file})" if arguments.log_file else ""
        log.error("%s: %s%s", arguments.verb, _in_words(error), where)  # noqa: TRY400
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        from crystalformer_rl.jobs.device import is_out_of_memory  # noqa: PLC0415 - imports torch

        what = "internal error; please report it with this log"
        if is_out_of_memory(error):
            what = "does not fit into memory, even in the smallest parts"
        log.exception("%s: %s", arguments.verb, what)
        raise SystemExit(1) from None


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for a command line; an unknown verb ends the process with code 2."""
    chosen = next((word for word in words if not word.startswith("-")), None)
    found = parser([chosen] if chosen in VERBS else [])
    if chosen is not None and chosen not in VERBS:
        close = difflib.get_close_matches(chosen, VERBS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        found.error(f"unknown verb {chosen!r}{hint}; `{PROGRAM} --help` lists the verbs")
    return found


def _start_log(path: Path | None) -> None:
    """Log to stderr, and with tracebacks to a file."""
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
    # Worker processes start without these filters and read the variable.
    os.environ.setdefault("PYTHONWARNINGS", ",".join(f"ignore:{one}" for one in KNOWN_WARNINGS))


def _in_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        model = getattr(config, error.title, BaseModel)
        return explain(error, model).replace("\n", "; ")
    return str(error) or type(error).__name__
