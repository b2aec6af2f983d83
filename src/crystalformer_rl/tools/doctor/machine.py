"""This machine: Python, packages, torch and its GPUs, user, disk space and permissions."""

import getpass
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import torch

from crystalformer_rl.config import Config
from crystalformer_rl.jobs.device import missing_for_compiling
from crystalformer_rl.model.policy import Policy
from crystalformer_rl.tools.doctor.findings import Finding

OLDEST_PYTHON = (3, 11)
DRIVER = Path("/proc/driver/nvidia/version")

# Measured on MP-20: a reference with its tokens and its place on the
# hull takes 1.2 kB, four times what it takes as parquet, about what it takes as plain CSV and
# twelve times what it takes as CSV.xz; a generated crystal takes 1.8 kB with sample, relaxation,
# evaluation and its row of the table, and 1.4 kB for a judge.
PER_SOURCE_BYTE, PER_PACKED_BYTE, PER_SAMPLE = 4, 12, 3_500
PACKED = (".xz", ".gz", ".bz2")
# Weights, two moments of Adam and a moving average, float32, in each of four checkpoints.
PER_PARAMETER = 4 * 4 * 4
MARGIN = 200_000_000


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """The version of Python."""
    found, oldest = (".".join(map(str, numbers)) for numbers in (version, OLDEST_PYTHON))
    if version >= OLDEST_PYTHON:
        return Finding("Python", "ok", f"{found} at {sys.executable}")
    words = f"{found}, but {oldest} or later is needed"
    return Finding("Python", "problem", words, f"make run PYTHON=python{oldest}")


def packages(requirements: Path) -> Iterator[Finding]:
    """The pinned packages that are missing or of another version, and how many are as pinned."""
    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        words = f"{requirements} is missing"
        yield Finding("packages", "problem", words, "cd to the folder of the repository")
        return
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    change = f"{Path(sys.executable).name} -m pip install -r {requirements}"
    right = 0
    for name, pinned in pins.items():
        topic = f"package {name}"
        try:
            installed = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            yield Finding(topic, "problem", f"not installed; {pinned} is needed", change)
            continue
        right += installed == pinned
        if installed != pinned:
            words = f"{installed} is installed, {pinned} was tested: results may differ"
            yield Finding(topic, "warning", words, change)
    yield Finding("packages", "ok", f"{right} of {len(pins)} as in {requirements}")


def gpus(*, jobs_want_gpus: bool) -> Iterator[Finding]:
    """Whether torch can compute on every GPU that is here; one finding per GPU.

    ``jobs_want_gpus``: whether jobs ask a cluster for GPUs, although this machine may have none.
    """
    built, driver = torch.version.cuda, DRIVER.is_file()
    about = f"{torch.__version__}, built " + (f"with CUDA {built}" if built else "for CPUs only")
    install = f"install torch {torch.__version__.partition('+')[0]} built with CUDA"
    if built is None and driver:
        words = f"{about}, but this machine has an NVIDIA GPU"
        yield Finding("torch", "problem", words, install)
    elif built is None and jobs_want_gpus:
        words = f"{about}: jobs that get a GPU would compute on the CPU"
        yield Finding("torch", "warning", words, install)
    elif not driver:
        where = "GPUs of the nodes are not checked here" if jobs_want_gpus else "jobs use the CPU"
        yield Finding("torch", "ok", f"{about}; no NVIDIA driver on this machine: {where}")
    else:
        try:
            torch.cuda.current_device()
        except RuntimeError as error:
            version = DRIVER.read_text(encoding="utf-8").splitlines()[0].strip()
            change = f"install a driver for CUDA {built}, or torch built for an older CUDA"
            yield Finding("torch", "problem", f"{about}; driver: {version}; {error}", change)
            return
        yield Finding("torch", "ok", f"{about}; GPUs: {torch.cuda.device_count()}")
        yield from map(_gpu, range(torch.cuda.device_count()))


def compiler(*, jobs_want_gpus: bool) -> Iterator[Finding]:
    """Whether trainings can be compiled, where there are GPUs for them."""
    if not (jobs_want_gpus or DRIVER.is_file()):
        return
    if (missing := missing_for_compiling()) is None:
        yield Finding("compiler", "ok", "torch can compile trainings on a GPU")
        return
    words = f"this machine lacks {missing}: trainings on a GPU are not compiled, and slower"
    yield Finding("compiler", "warning", words, "install gcc and the headers of Python")


def _gpu(index: int) -> Finding:
    topic = f"GPU {index}"
    name = torch.cuda.get_device_name(index)
    try:
        torch.ones(2, device=f"cuda:{index}").sum().item()
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(index))
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        change = "torch built for this GPU, or another GPU (CUDA_VISIBLE_DEVICES)"
        return Finding(topic, "problem", f"{name} cannot compute: {first}", change)
    words = f"{name}, {free:.0f} of {total:.0f} GiB free"
    if free < total / 2:
        return Finding(topic, "warning", words, "another process uses it: see nvidia-smi")
    return Finding(topic, "ok", words)


def user() -> Iterator[Finding]:
    """A finding if Snakemake, which needs the name of its user, gets none."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        number = os.getuid()
        words = f"user {number} has no name on this machine, and snakemake needs one"
        yield Finding("user", "problem", words, f"export LOGNAME=user{number}")


def disk(folder: Path, config: Config) -> Finding:
    """Free space at ``folder`` against what the run will write."""
    topic, there = f"disk at {folder}/", _existing(folder)
    free, needed = shutil.disk_usage(there).free, estimate(config)
    words = f"{free / 1e9:.1f} GB free, about {needed / 1e9:.1f} GB needed (quotas are not checked)"
    if free >= needed:
        return Finding(topic, "ok", words)
    change = f"free space at {there.resolve()}, or make {folder} a link to a larger disk"
    return Finding(topic, "problem", words, change)


def estimate(config: Config) -> int:
    """Bytes that a run writes, generously, by its settings and the sources that are here."""
    references = sum(
        path.stat().st_size * (PER_PACKED_BYTE if path.suffix in PACKED else PER_SOURCE_BYTE)
        for source in map(Path, config.dataset.sources.values())
        for path in ([source] if source.is_file() else source.rglob("*"))
    )
    judges = 1 if config.judge.potential is None else 2
    policies = 2 + len(config.rl) + len(config.external)
    samples = policies * config.sample.count * judges + config.sft.samples
    samples += sum(b.rounds * b.sft.samples for b in config.rl.values() if b.sft is not None)
    trainings = 2 + sum(branch.rounds for branch in config.rl.values())
    parameters = Policy(config.model).num_parameters
    written = samples * PER_SAMPLE + trainings * parameters * PER_PARAMETER
    return MARGIN + references + written


def permissions(folders: Sequence[Path]) -> Iterator[Finding]:
    """Whether files can be written in each folder, and by its group where it is the group's."""
    mask = os.umask(0o077)
    os.umask(mask)
    for folder in folders:
        topic, there = f"writing in {folder}/", _existing(folder)
        try:
            # On a network disk the permissions do not tell: only writing does.
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            owner = user_name(there.stat().st_uid)
            change = f"chmod u+w {there}, or ask its owner, {owner}"
            yield Finding(topic, "problem", f"{there}: {error.strerror}", change)
            continue
        if there.stat().st_mode & 0o2000 and mask & 0o020:
            words = f"its group could not write new files in this shared folder (umask {mask:03o})"
            change = "umask 002, before snakemake and in what starts your jobs"
            yield Finding(topic, "warning", words, change)
        else:
            yield Finding(topic, "ok", "possible")


def user_name(number: int) -> str:
    """The name of a user; the number if it has no name, as in some containers."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
