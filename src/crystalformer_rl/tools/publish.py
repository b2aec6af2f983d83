"""``publish``: pack a trained policy into a small folder, in bfloat16 and with its history."""

import argparse
import logging
import shutil
from pathlib import Path

import torch

from crystalformer_rl.files import atomic
from crystalformer_rl.model.policy import Policy

RECORDS = ("history.parquet", "provenance.json")

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "--policy",
        type=Path,
        required=True,
        help="folder of a training stage, such as results/default/pretrain",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(args: argparse.Namespace) -> None:
    """Write the weights in bfloat16, their description, and the records of the training.

    Raises
    ------
    FileNotFoundError
        If the folder lacks weights, description, history or provenance.
    """
    for name in RECORDS:
        if not (args.policy / name).is_file():
            raise FileNotFoundError(
                f"{args.policy / name}: no such file; a published policy needs the history and the "
                "provenance of its training"
            )
    policy = Policy.load(args.policy)
    policy.metadata |= {"precision_of_the_file": "bfloat16"}
    policy.save(args.out, precision=torch.bfloat16)
    for name in RECORDS:
        with atomic(args.out / name) as temporary:
            shutil.copyfile(args.policy / name, temporary)
    size = sum(path.stat().st_size for path in args.out.iterdir()) / 1e6
    log.info("%s: %d parameters, %.1f MB", args.out, policy.num_parameters, size)
