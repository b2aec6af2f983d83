"""Look at the machine, the files and the cluster before anything is submitted; say what to change.

examples:
  crystalformer-rl doctor                                    # what `snakemake` would need here
  crystalformer-rl doctor --configfile config/mp20.yaml      # the same with these settings
  crystalformer-rl doctor --profile slurm                    # and on the cluster

The exit code is 1 if something would fail. On a cluster run it where you would type `snakemake`.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from crystalformer_rl.config import Config, read
from crystalformer_rl.jobs.device import best_device
from crystalformer_rl.manifest import DOWNLOADS, read_manifest
from crystalformer_rl.stages.options import add_examples
from crystalformer_rl.tools.doctor import cluster, inputs, machine, slurm
from crystalformer_rl.tools.doctor.findings import Finding, count, table
from crystalformer_rl.tools.doctor.fit import fits
from crystalformer_rl.tools.doctor.plan import Plan, plan

SNAKEFILE = Path("workflow/Snakefile")
BASE_CONFIG = Path("config.yaml")
MANIFEST = Path("resources/manifest.yaml")
REQUIREMENTS = Path("envs/requirements.txt")
WRITTEN = (Path("results"), Path("logs"), Path(".snakemake"), Path(DOWNLOADS))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_examples(parser, __doc__)
    parser.add_argument(
        "--profile",
        help="profile of snakemake: a folder, or its name in workflow/profiles (default: slurm "
        "if SLURM is found, else none)",
    )
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="overlays on config.yaml, as for snakemake",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> None:
    """Print the findings; end with code 1 if one of them is a problem."""
    found = list(_findings(args.configfile, args.profile))
    if args.json:
        record = {
            "problems": count(found, "problem"),
            "warnings": count(found, "warning"),
            "findings": [dataclasses.asdict(finding) for finding in found],
        }
        sys.stdout.write(json.dumps(record, indent=2) + "\n")
    else:
        sys.stdout.write(table(found))
    if count(found, "problem"):
        raise SystemExit(1)


def _findings(overlays: Sequence[Path], name: str | None) -> Iterator[Finding]:
    if not SNAKEFILE.is_file():
        words = f"{Path.cwd()} has no {SNAKEFILE}"
        yield Finding("folder", "problem", words, "cd to the folder of the repository")
        return
    nodes = cluster.ask("sinfo", "-h", "-N", "-o", slurm.FIELDS)
    name = name or ("slurm" if nodes.ok else None)
    try:
        profile = cluster.profile_file(name) if name else None
    except ValueError as error:
        yield Finding("profile", "problem", str(error), "--profile with one of these, or a folder")
        return
    planned = plan(profile=profile, config_files=overlays)
    yield machine.python()
    yield from machine.packages(REQUIREMENTS)
    wanted = any(request.gpus for request in planned.requests)
    yield from machine.gpus(jobs_want_gpus=wanted)
    yield from machine.compiler(jobs_want_gpus=wanted)
    files = [BASE_CONFIG, *overlays]
    try:
        config = _settings(files)
    except (ValueError, OSError) as error:
        yield Finding("settings", "problem", str(error), f"the keys above, in {files[-1]}")
    else:
        yield Finding("settings", "ok", f"{' and '.join(map(str, files))}: run {config.run}")
        yield from _inputs(config, files)
    yield from machine.user()
    yield from machine.permissions(WRITTEN)
    if planned.error:
        yield Finding("plan", "problem", planned.error, "correct what snakemake says here")
    else:
        rules = {request.rule for request in planned.requests}
        yield Finding("plan", "ok", f"snakemake plans jobs of {len(rules)} rules")
    keys = cluster.read_profile(profile) if profile else {}
    submits = keys.get("executor") == "slurm"
    yield from cluster.commands(submits=submits and nodes.ok)
    if profile is not None and submits:
        attempts = 1 + int(keys.get("retries", 0))
        last = plan(profile=profile, config_files=overlays, attempt=attempts)
        yield from _cluster(planned, last, profile, nodes)


def _inputs(config: Config, files: Sequence[Path]) -> Iterator[Finding]:
    yield from inputs.potentials(config, files, device=best_device())
    try:
        manifest = read_manifest(MANIFEST)
    except (ValueError, OSError) as error:
        yield Finding("manifest", "problem", str(error), f"git checkout {MANIFEST}")
        manifest = {}
    yield from inputs.files(config, manifest, files)
    yield machine.disk(WRITTEN[0], config)


def _cluster(first: Plan, last: Plan, profile: Path, sinfo: cluster.Answer) -> Iterator[Finding]:
    """The state of the cluster, and whether it has nodes for the first and the last attempts."""
    if not sinfo.ok:
        words = f"{profile} needs a cluster, and here {sinfo.text}"
        yield Finding("cluster", "problem", words, "run this where you would submit jobs")
        return
    nodes, unreadable = slurm.nodes(sinfo.text)
    settings = cluster.ask("scontrol", "show", "config").text
    version = slurm.setting(settings, "SLURM_VERSION") or "of unknown version"
    yield Finding("cluster", "ok", f"SLURM {version}, {profile}")
    yield from cluster.unreadable("sinfo", unreadable)
    sacct, job_age = cluster.ask("sacct", "-n", "-X"), slurm.setting(settings, "MinJobAge")
    yield cluster.accounting(sacct, job_age=job_age, profile=profile)
    squeue = cluster.ask("squeue", "-h", "-u", str(os.geteuid()), "-o", cluster.QUEUE)
    yield from cluster.drivers(squeue, folder=Path.cwd())
    yield from cluster.partitions(nodes)
    yield from cluster.accounts(first.requests, profile=profile)
    if nodes:
        yield from fits(first.requests, last.requests, nodes, profile=profile)
    else:
        words = f"sinfo lists no nodes in the format {slurm.FIELDS}"
        yield Finding("nodes", "problem", words, "put SLURM's own sinfo first on the PATH")


def _settings(files: Sequence[Path]) -> Config:
    """The settings as snakemake reads them: every file over those before it."""
    merged: dict[str, Any] = {}
    for file in files:
        try:
            update_config(merged, yaml.safe_load(file.read_text(encoding="utf-8")) or {})
        except yaml.YAMLError as error:
            raise ValueError(f"{file}: not YAML: {error}") from error
    return read(merged)
