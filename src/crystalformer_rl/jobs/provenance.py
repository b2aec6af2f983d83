"""``provenance.json`` of a stage: which settings, code, inputs and machine made a result."""

import hashlib
import json
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from crystalformer_rl.config.potentials import parse
from crystalformer_rl.config.reward_base import RewardSettings
from crystalformer_rl.files import write_json
from crystalformer_rl.jobs.fingerprint import fingerprint, used_potentials
from crystalformer_rl.seeds import file_digest

PACKAGES = (
    "ase", "matplotlib", "moyopy", "numpy", "pandas", "pymatgen", "scipy", "smact", "spglib",
    "torch",
)  # fmt: skip
"""Packages whose versions are recorded in addition to those of the potentials."""


class Provenance:
    """Collects what ``provenance.json`` says of a stage; create it when the stage starts.

    Parameters
    ----------
    module
        Full name of the module that runs; its last part is the name of the stage.
    settings
        The stage's settings, ready for JSON.
    seed
        The derived seed, if the stage draws random numbers.
    inputs
        The files it reads; their sha256 is recorded.
    potential, reward
        Those that the stage loads, if any; see :func:`~crystalformer_rl.jobs.fingerprint.closure`.
    """

    def __init__(
        self,
        module: str,
        *,
        settings: Mapping[str, Any],
        inputs: Mapping[str, Path | list[Path]],
        seed: int | None = None,
        device: str = "cpu",
        potential: str | None = None,
        reward: RewardSettings | None = None,
    ) -> None:
        self._start, self._cpu_start = time.monotonic(), _cpu_s()
        text = json.dumps(settings, sort_keys=True)
        used = [parse(spec)[0] for spec in used_potentials(potential, reward)]
        packages = [*PACKAGES, *(package for one in used for package in one.packages)]
        self._record: dict[str, Any] = {
            "stage": module.rpartition(".")[2],
            "settings": dict(settings),
            "settings_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "code": fingerprint(module, potential=potential, reward=reward),
            "seed": seed,
            "device": device,
            **_gpu(device),
            "inputs": {
                name: [{"path": str(p), "sha256": file_digest(p)} for p in _as_list(paths)]
                for name, paths in inputs.items()
            },
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            "packages": {name: _version(name) for name in packages},
            "git_commit": _git_commit(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    def write(self, path: Path, **counts: float | int | str | None) -> None:
        """Write the record with times (s), peak memory (MiB) and the stage's own ``counts``.

        CPU time is that of all cores and of worker processes that have ended; memory is that of
        this process, and what torch allocated on its GPU. A count named ``items`` also gives the
        throughput, items per second of wall time.
        """
        seconds = time.monotonic() - self._start
        record = self._record | {
            "wall_s": round(seconds, 3),
            "cpu_s": round(_cpu_s() - self._cpu_start, 3),
            "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "counts": counts,
            **_gpu_memory(self._record["device"]),
        }
        items = counts.get("items")
        if isinstance(items, int | float):
            record["items_per_s"] = round(items / max(seconds, 1e-9), 3)
        write_json(path, record)


def _as_list(paths: Path | list[Path]) -> list[Path]:
    return paths if isinstance(paths, list) else [paths]


def _version(package: str) -> str | None:
    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return None
    # A parser of the whole file, which has the readme, takes a tenth of a second for all packages.
    line = re.search(r"^Version: *(\S+)", found.read_text("METADATA") or "", re.M)
    return line[1] if line else found.version


def _gpu(device: str) -> dict[str, str | None]:
    """The name of the card and the version of CUDA, if the stage computes on a GPU."""
    if device != "cuda":
        return {}
    import torch  # noqa: PLC0415 - most stages do not need it

    return {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}


def _gpu_memory(device: str) -> dict[str, float]:
    """The most memory that torch has allocated on the GPU at once, MiB, if there is one."""
    if device != "cuda":
        return {}
    import torch  # noqa: PLC0415 - most stages do not need it

    return {"gpu_memory_mib": round(torch.cuda.max_memory_allocated() / 2**20, 1)}


def _cpu_s() -> float:
    """CPU time of this process and of its children that have ended, seconds."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _git_commit() -> str | None:
    """Commit of the checkout that holds the code, with ``-dirty`` if it is modified."""
    folder = Path(__file__).parent
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return None
    return answer.stdout.strip() or None
