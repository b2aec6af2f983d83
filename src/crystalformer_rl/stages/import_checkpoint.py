"""``import-checkpoint``: a checkpoint of the published JAX code becomes a policy."""

import argparse
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.files import read_json
from crystalformer_rl.model.pretrained import import_policy
from crystalformer_rl.model.transformer import GROUPS
from crystalformer_rl.provenance import Provenance

EXAMPLES = """examples:
  crystalformer-rl import-checkpoint epoch_003800.pkl --out mp20-published
  crystalformer-rl import-checkpoint epoch_005500.pkl --out alex20 \\
      --space-groups results/alex20/tokenize/space_groups.json
  snakemake --config base_policy=mp20-published

The pickle is read without jax and without running anything that it names."""

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument("checkpoint", type=Path, help="epoch_NNNNNN.pkl of the published code")
    parser.add_argument("--out", type=Path, required=True, help="folder of the policy")
    parser.add_argument(
        "--heads",
        type=int,
        help="attention heads, where the key size is not four times their number: the file tells "
        "only the product (the CSP model has 8 heads of 32)",
    )
    parser.add_argument(
        "--coordinate-modes", type=int, default=16, help="von Mises components (default: 16)"
    )
    parser.add_argument(
        "--max-sites",
        type=int,
        default=21,
        help="sites of the sequence, where positions are rotary (default: 21)",
    )
    parser.add_argument(
        "--space-groups",
        type=Path,
        metavar="FILE",
        help="space_groups.json of a tokenize stage: the training histogram to sample by; without "
        "it the groups must be named, or weighted alike",
    )


def run(args: argparse.Namespace) -> None:
    """Write the policy and ``provenance.json`` into ``args.out``.

    Raises
    ------
    ValueError
        If the checkpoint is damaged, names anything but arrays, or a parameter does not fit.
    """
    sizes = {name: getattr(args, name) for name in ("heads", "coordinate_modes", "max_sites")}
    provenance = Provenance(
        "import_checkpoint", settings=sizes, inputs={"checkpoint": args.checkpoint}
    )
    policy = import_policy(args.checkpoint, **sizes)
    if args.space_groups is not None:
        policy.space_group_counts = _histogram(args.space_groups)
    policy.save(args.out)
    size = policy.settings
    log.info(
        "%s: %d parameters, %d layers of %d heads × %d, width %d, %s positions, at most %d sites",
        *(args.out, policy.num_parameters, size.layers, size.heads, size.key_size, size.width),
        *(size.positions, size.max_sites),
    )
    provenance.write(args.out / "provenance.json", parameters=policy.num_parameters)


def _histogram(path: Path) -> NDArray[np.int64]:
    """(231,) crystals of the training split by space group."""
    try:
        found = {int(group): int(count) for group, count in read_json(path)["train"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: not the space_groups.json of a tokenize stage, which has counts of the split "
            f"train: {error!r}"
        ) from error
    if wrong := sorted(group for group in found if not 1 <= group <= GROUPS):
        raise ValueError(f"{path}: space group {wrong[0]} must be 1 to {GROUPS}")
    counts = np.zeros(GROUPS + 1, dtype=np.int64)
    counts[list(found)] = list(found.values())
    return counts
