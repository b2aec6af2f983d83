"""Speed of the training that the stages run, alone or as the processes that torchrun starts.

Called by ``model.py`` with one argument, JSON: settings of the model, site counts, batch size and
threads. The first process prints JSON: crystals per second of a second epoch, validation not
counted, and its peak memory in GB, on a GPU that of the GPU.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from crystals import random_crystals

from crystalformer_rl.config import ModelSettings, OptimiserSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.jobs.checkpoints import Checkpoints
from crystalformer_rl.jobs.loop import Loop
from crystalformer_rl.jobs.parallel import join
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.training.fit import fit


def main() -> None:
    """Train for two epochs; print the speed of the second."""
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    crystals = PackedTokens.from_tokens(random_crystals(np.array(task["sites"])))
    steps = -(-len(crystals) // task["batch"])
    moments: list[float] = []

    def track(numbers: Iterable[int]) -> Iterator[int]:
        for number in numbers:
            if number == steps:
                moments.append(time.perf_counter())
            yield number
        moments.append(time.perf_counter())

    with join(task["device"]) as parallel, tempfile.TemporaryDirectory() as folder:
        fit(
            Policy(ModelSettings(**task["settings"]), seed=1).to(parallel.device),
            crystals,
            crystals[:1],
            settings=OptimiserSettings(epochs=2, batch_size=task["batch"]),
            seed=0,
            loop=Loop(Checkpoints(folder, key={}), checkpoint_minutes=1e6, parallel=parallel),
            name_of=str,
            validate_every=2,
            parallel=parallel,
            track=track,
        )
        if parallel.first:
            rate = len(crystals) / (moments[1] - moments[0])
            print(json.dumps({"rate": rate, "memory": _memory(parallel.device)}))


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
