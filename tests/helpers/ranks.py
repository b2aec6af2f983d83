"""One of the processes of tests/unit/jobs/test_parallel.py: trains, and tells how it went.

Called as ``python ranks.py FOLDER`` with the environment of torchrun; with the further word
``straight`` it only makes an uninterrupted training, with ``cuda`` on GPUs.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from crystalformer_rl.config import OptimiserSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.crystal.tokens import CrystalTokens
from crystalformer_rl.files import read_tensors, write_tensors
from crystalformer_rl.jobs.checkpoints import Checkpoints
from crystalformer_rl.jobs.loop import DivergedError, Interrupted, Loop
from crystalformer_rl.jobs.parallel import SINGLE, Parallel, join
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.fit import Row, fit
from helpers.policies import TINY

SETTINGS = OptimiserSettings(
    epochs=3, batch_size=5, learning_rate=0.2, warmup_steps=3, ema_decay=0.9
)
"""26 crystals in batches of five: every batch is odd, and one of each epoch holds one crystal."""
TRAIN = 26


def train(
    crystals: CrystalTokens,
    folder: Path,
    *,
    dropout: float,
    seed: int = 1,
    parallel: Parallel = SINGLE,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[list[Row], Policy]:
    """History and policy of one training with its checkpoints in ``folder``."""
    policy = Policy(TINY.model_copy(update={"dropout": dropout}), seed=seed).to(parallel.device)
    loop = Loop(Checkpoints(folder, key={}), checkpoint_minutes=1e6, parallel=parallel)
    with loop:
        history = fit(
            policy,
            PackedTokens.from_tokens(crystals[:TRAIN]),
            PackedTokens.from_tokens(crystals[TRAIN:]),
            settings=SETTINGS,
            seed=5,
            loop=loop,
            name_of=lambda index: f"mp-{index}",
            parallel=parallel,
            track=track,
        )
    return history, policy


def weights_of(policy: Policy) -> dict[str, Any]:
    """The weights as arrays."""
    return {name: tensor.cpu().numpy() for name, tensor in policy.state_dict().items()}


def thread_names() -> list[str]:
    """Names of the threads of this process."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


def main(folder: Path, *, straight: bool, kind: str) -> None:
    """Train in every way that is to be compared, and write what came of it."""
    crystals = CrystalTokens.from_arrays(read_tensors(folder / "crystals.safetensors"))
    result: dict[str, Any] = {}
    with join(kind) as parallel:

        def told_to_stop(steps: Iterable[int]) -> Iterator[int]:
            for step in steps:
                if step == 7 and parallel.rank == 1:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield step

        def run(name: str, **options: Any) -> None:
            result[name], policy = train(crystals, folder / name, parallel=parallel, **options)
            write_tensors(folder / f"{name}-{parallel.rank}.safetensors", weights_of(policy))

        # The weights of process 0 count, whatever the others start with.
        run("plain", dropout=0.0, seed=1 + parallel.rank)
        if straight:
            return
        run("straight", dropout=0.2)
        try:
            run("resumed", dropout=0.2, track=told_to_stop)
        except Interrupted as stop:
            result["code"] = stop.code
        result["checkpoints"] = sorted(p.name for p in (folder / "resumed").rglob("*.safetensors"))
        parallel.barrier()
        run("resumed", dropout=0.2)

        broken = crystals.lattice.copy()
        broken[13, 0] = np.nan
        crystals = CrystalTokens(**(crystals.to_arrays() | {"lattice": broken}))
        try:
            run("broken", dropout=0.0)
        except DivergedError as error:
            result["error"] = str(error)
        try:
            parallel.check_same_step(parallel.rank)
        except ValueError as error:
            result["disagreement"] = str(error)
    result["threads"] = thread_names()
    (folder / f"result-{parallel.rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    main(Path(name), straight="straight" in words, kind="cuda" if "cuda" in words else "cpu")
