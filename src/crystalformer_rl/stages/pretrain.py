"""``pretrain``: train the base policy on the tokens."""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalformer_rl.config import ModelSettings, PretrainSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.files import map_tensors
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.jobs.parallel import Parallel, join
from crystalformer_rl.jobs.training import Training, add_training_arguments
from crystalformer_rl.model.folder import policy_files
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.seeds import derive_seed
from crystalformer_rl.training.fit import fit

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_training_arguments(parser)
    parser.add_argument("--model", required=True, help="the model section, as JSON")
    parser.add_argument("--start", type=Path, help="folder of the policy whose training continues")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of the tokenize stage")


def run(args: argparse.Namespace) -> None:
    """Write the policy, ``history.parquet`` and ``provenance.json`` into ``args.out``.

    With ``args.start`` the weights are those of that policy at the start, the network is of its
    size, and the space-group histogram is that of the new crystals. Processes started by torchrun
    share every batch. The tokens are memory-mapped and read when needed.
    """
    with join(best_device()) as parallel:
        _train(args, parallel)


def _train(args: argparse.Namespace, parallel: Parallel) -> None:
    settings = PretrainSettings.model_validate_json(args.settings)
    model = ModelSettings.model_validate_json(args.model)
    seed = derive_seed(args.seed, "pretrain")
    start = None
    if args.start is not None:
        start = Policy.load(args.start)
        model = start.settings.model_copy(update={"dropout": model.dropout})
        log.info("training continues from %s; its network: %s", args.start, model)
    paths = {split: args.tokens / f"tokens-{split}.safetensors" for split in ("train", "val")}
    training = Training(
        "pretrain",
        args,
        sections={"pretrain": settings, "model": model},
        inputs=paths if start is None else {**paths, "start": policy_files(args.start)},
        seed=seed,
        parallel=parallel,
    )
    arrays = {split: map_tensors(path) for split, path in paths.items()}
    train, validation = (_crystals(paths[split], arrays[split]) for split in ("train", "val"))
    rows = arrays["train"]["row"]
    policy = Policy(
        model,
        seed=derive_seed(seed, "weights"),
        space_group_counts=np.bincount(train.space_group, minlength=231),
        metadata={"trained_by": "pretrain"},
    ).to(training.device)
    if start is not None:
        policy.network.load_state_dict(start.network.state_dict())
    with training.loop:
        history = fit(
            policy,
            train,
            validation,
            settings=settings,
            seed=seed,
            loop=training.loop,
            name_of=lambda index: f"row {rows[index]} of structures.parquet",
            validate_every=settings.validate_every,
            patience=settings.patience,
            parallel=parallel,
            track=training.track,
            record=training.record,
        )
    if parallel.first:
        policy.save(args.out)
    training.finish(
        history,
        steps=history[-1]["step"],
        items=len(train) * history[-1]["epoch"],
        train=len(train),
        val=len(validation),
        parameters=policy.num_parameters,
        epochs=history[-1]["epoch"],
    )


def _crystals(path: Path, arrays: Mapping[str, NDArray[Any]]) -> PackedTokens:
    try:
        return PackedTokens.from_arrays(arrays)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
