"""``import-checkpoint``: convert a checkpoint of the published JAX code to a policy."""

import argparse
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.files import read_json
from crystalformer_rl.jobs.provenance import Provenance
from crystalformer_rl.model.folder import DESCRIPTION, WEIGHTS, WITHOUT_HISTOGRAM, policy_folder
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.model.pretrained import import_policy
from crystalformer_rl.model.transformer import GROUPS

EXAMPLES = """examples:
  crystalformer-rl import-checkpoint epoch_003800.pkl --out mp20-published --space-groups mp20-small
  crystalformer-rl import-checkpoint epoch_005500.pkl --out alex20 \\
      --space-groups results/alex20/tokenize/space_groups.json
  snakemake --config base_policy=mp20-published

The pickle is read without jax and without running any code it names."""

RECORD = "provenance.json"

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument("checkpoint", type=Path, help="epoch_NNNNNN.pkl of the published code")
    parser.add_argument("--out", type=Path, required=True, help="folder of the policy")
    parser.add_argument(
        "--heads",
        type=int,
        help="number of attention heads; the file has only heads x key size "
        "(default: the key size is four times the heads, as in all published models)",
    )
    parser.add_argument(
        "--coordinate-modes", type=int, help="von Mises components (default: 16, as published)"
    )
    parser.add_argument(
        "--max-sites",
        type=int,
        help="length of the sequence in sites, for rotary positions (default: 21, as published)",
    )
    parser.add_argument(
        "--space-groups",
        metavar="POLICY|FILE",
        help="source of the space-group histogram: a policy (a folder, or a name in "
        "resources/pretrained) or the space_groups.json of a tokenize stage; without it, sampling "
        "needs named groups or uniform weights",
    )


def run(args: argparse.Namespace) -> None:
    """Write the policy and ``provenance.json`` into ``args.out``.

    Raises
    ------
    FileNotFoundError
        If the checkpoint or the source of the histogram does not exist.
    ValueError
        If the checkpoint is damaged, names anything but arrays, or a parameter does not fit; if
        the source of the histogram has none; if ``args.out`` holds anything but an earlier import.
    """
    _refuse_other_contents(args.out)
    if args.checkpoint.is_dir():
        raise ValueError(
            f"{args.checkpoint}: a folder, must be a file of the published code, such as "
            "epoch_003800.pkl"
        )
    if not args.checkpoint.is_file():
        raise FileNotFoundError(f"{args.checkpoint}: no such file")
    source = None if args.space_groups is None else _source(args.space_groups)
    sizes = {name: getattr(args, name) for name in ("heads", "coordinate_modes", "max_sites")}
    provenance = Provenance(
        __name__,
        settings=sizes,
        inputs={"checkpoint": args.checkpoint} | ({"space_groups": source} if source else {}),
    )
    policy = import_policy(args.checkpoint, **sizes)
    if source is None:
        log.warning(
            "without --space-groups the policy has no space-group histogram: chains and samples "
            "from named groups work; sample, sft and rl with their default weights do not. For "
            "those %s",
            WITHOUT_HISTOGRAM,
        )
    else:
        policy.space_group_counts = _histogram(source)
    policy.save(args.out)
    size = policy.settings
    log.info(
        "%s: %d parameters, %d layers of %d heads × %d, width %d, %s positions, at most %d sites",
        *(args.out, policy.num_parameters, size.layers, size.heads, size.key_size, size.width),
        *(size.positions, size.max_sites),
    )
    provenance.write(args.out / RECORD, parameters=policy.num_parameters)


def _refuse_other_contents(folder: Path) -> None:
    """Raise unless ``folder`` can be written: it is new, empty, or an earlier import."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder}: a file, must be a folder")
    inside = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if others := sorted(inside - {DESCRIPTION, WEIGHTS, RECORD}):
        raise ValueError(
            f"--out {folder}: the folder holds something else ({', '.join(others[:3])}): give a "
            "new folder"
        )


def _source(text: str) -> Path:
    """The file with the histogram: the given file, or the description of a policy."""
    return Path(text) if Path(text).is_file() else policy_folder(text) / DESCRIPTION


def _histogram(path: Path) -> NDArray[np.int64]:
    """(231,) number of training crystals per space group."""
    if path.name == DESCRIPTION:
        counts = Policy.load(path.parent).space_group_counts
        if not counts.any():
            raise ValueError(f"{path}: this policy has no space-group histogram either")
        return counts
    try:
        found = {int(group): int(count) for group, count in read_json(path)["train"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: not a space_groups.json of a tokenize stage with counts of the split train: "
            f"{error!r}"
        ) from error
    if wrong := sorted(group for group in found if not 1 <= group <= GROUPS):
        raise ValueError(f"{path}: space group {wrong[0]} must be 1 to {GROUPS}")
    if min(found.values(), default=0) < 0 or not any(found.values()):
        raise ValueError(f"{path}: counts of the split train must not be negative or all 0")
    counts = np.zeros(GROUPS + 1, dtype=np.int64)
    counts[list(found)] = list(found.values())
    return counts
