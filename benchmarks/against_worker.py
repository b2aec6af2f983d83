"""A process of ``against.py``: runs stages of one version of the package when asked to.

Its argument is JSON: the inputs, their sizes, and the folder of the version. It reads the name of
a stage per line and answers with the seconds of the processor that the stage took.
"""

import json
import os
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from crystals import random_crystals

import crystalformer_rl
from crystalformer_rl.cli import main as verb
from crystalformer_rl.config import ModelSettings, OptimiserSettings
from crystalformer_rl.crystal.packed import PackedTokens
from crystalformer_rl.model.policy import Policy

PUBLISHED = {"layers": 16, "heads": 16, "key_size": 64, "width": 64, "embedding": 32}
# Modules that moved since e395ebf: where they are now, and where they were.
FIT = ("crystalformer_rl.training.fit", "crystalformer_rl.training.pretrain")
CHECKPOINTS = ("crystalformer_rl.jobs.checkpoints", "crystalformer_rl.training.checkpoints")
LOOP = ("crystalformer_rl.jobs.loop", "crystalformer_rl.training.loop")
TRAINED, BATCH = 200, 100
OUT = Path("out")


def main() -> None:
    """Answer until the input ends."""
    task = json.loads(sys.argv[1])
    assert Path(crystalformer_rl.__file__).is_relative_to(task["tree"])
    # What the stages print must not be taken for an answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir()
        start = time.process_time()
        STAGES[line.strip()](task)
        print(time.process_time() - start, file=answers, flush=True)


def dataset(task: dict[str, Any]) -> None:
    """Read CIFs."""
    settings = json.dumps({"sources": {"all": task["cifs"]}})
    verb(["dataset", "--settings", settings, "--out", str(OUT)])


def tokenize(task: dict[str, Any]) -> None:
    """Tokenize the structures of a table."""
    table = ["--structures", task["structures"], "--processes", "1"]
    verb(["tokenize", "--settings", "{}", *table, "--out", str(OUT)])


def sample(task: dict[str, Any]) -> None:
    """Draw crystals of the shipped policy."""
    count = ["-n", str(task["samples"]), "--seed", "1"]
    verb(["sample", "--policy", task["policy"], *count, "--out", str(OUT / "samples.parquet")])


def relax(task: dict[str, Any]) -> None:
    """Relax samples with CHGNet."""
    settings = json.dumps({"potential": "chgnet", "max_force": 0.1, "max_steps": 60})
    files = ["--journal", str(OUT / "journal"), "--out", str(OUT / "relaxed.parquet")]
    verb(["relax", "--settings", settings, "--sample", task["shard"], *files])


def train(_task: dict[str, Any]) -> None:
    """An epoch of the published size, on crystals of 1 to 7 sites."""
    crystals = PackedTokens.from_tokens(random_crystals(np.arange(TRAINED) % 7 + 1))
    checkpoints = _first(CHECKPOINTS).Checkpoints(OUT, key={})
    _first(FIT).fit(
        Policy(ModelSettings(max_sites=21, first_letter_hidden=256, **PUBLISHED), seed=1),
        crystals,
        crystals[:1],
        settings=OptimiserSettings(epochs=1, batch_size=BATCH),
        seed=0,
        loop=_first(LOOP).Loop(checkpoints, checkpoint_minutes=1e6),
        name_of=str,
    )


def _first(names: tuple[str, ...]) -> Any:
    """The first of some modules that this version has."""
    for name in names[:-1]:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    return import_module(names[-1])


STAGES = {f.__name__: f for f in (dataset, tokenize, sample, relax, train)}

if __name__ == "__main__":
    main()
