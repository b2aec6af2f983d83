"""``pretrain``: tokens to the base policy."""

import argparse
from pathlib import Path

import numpy as np

from crystalformer_rl.config import ModelSettings, PretrainSettings
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import read_tensors
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.provenance import derive_seed
from crystalformer_rl.stages import trainings
from crystalformer_rl.stages.trainings import Training
from crystalformer_rl.training.pretrain import fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    trainings.add_arguments(parser)
    parser.add_argument("--model", required=True, help="the model section, as JSON")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of the tokenize stage")


def run(args: argparse.Namespace) -> None:
    """Write the policy, ``history.parquet`` and ``provenance.json`` into ``args.out``."""
    settings = PretrainSettings.model_validate_json(args.settings)
    model = ModelSettings.model_validate_json(args.model)
    seed = derive_seed(args.seed, "pretrain")
    paths = {split: args.tokens / f"tokens-{split}.safetensors" for split in ("train", "val")}
    training = Training(
        "pretrain",
        args,
        sections={"pretrain": settings, "model": model},
        inputs=paths,
        seed=seed,
    )
    arrays = {split: read_tensors(path) for split, path in paths.items()}
    tokens = {split: CrystalTokens.from_arrays(found) for split, found in arrays.items()}
    policy = Policy(
        model,
        seed=derive_seed(seed, "weights"),
        space_group_counts=np.bincount(tokens["train"].space_group, minlength=231),
        metadata={"trained_by": "pretrain"},
    ).to(training.device)
    with training.loop:
        history = fit(
            policy,
            tokens["train"],
            tokens["val"],
            settings=settings,
            patience=settings.patience,
            seed=seed,
            loop=training.loop,
            ids=[f"row {row}" for row in arrays["train"]["row"].tolist()],
            track=training.track,
        )
    policy.save(args.out)
    training.finish(
        history,
        steps=history[-1]["step"],
        items=len(tokens["train"]) * history[-1]["epoch"],
        train=len(tokens["train"]),
        val=len(tokens["val"]),
        parameters=policy.num_parameters,
        epochs=history[-1]["epoch"],
    )
