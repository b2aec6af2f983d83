"""What the rules share: the settings, fingerprints of code, and which files a stage reads."""

import os
import sys
from pathlib import Path

ROOT = Path(workflow.current_basedir).parents[1]

# Jobs, here and on a node, run this checkout's package with the Python that runs snakemake (or the
# one of the rule's conda environment, which comes first then); nothing has to be activated.
sys.path.insert(0, str(ROOT / "src"))
for name, path in {
    "PYTHONPATH": ROOT / "src",
    "PATH": Path(sys.executable).parent,
}.items():
    os.environ[name] = f"{path}{os.pathsep}{os.environ.get(name, '')}".rstrip(
        os.pathsep
    )

from crystalformer_rl.closure import fingerprint
from crystalformer_rl.config import canonical, read
from crystalformer_rl.manifest import read_manifest

MANIFEST = read_manifest(ROOT / "resources/manifest.yaml")
DOWNLOADS = "resources/downloads/"


def refuse(problem):
    """End the run before it starts; a WorkflowError would print a traceback under the message."""
    raise SystemExit(f"The configuration is not valid:\n{problem}")


def settings_of(raw):
    """The validated settings; a mistake ends the run here, with the path of the key."""
    try:
        return read(raw)
    except ValueError as error:
        refuse(error)


def existing(path, key):
    """The path of an input, here or else in the repository; or of a file to be downloaded."""
    name = path.removeprefix(DOWNLOADS)
    if Path(path).exists() or (name != path and name in MANIFEST):
        return path
    if (ROOT / path).exists():
        return str(ROOT / path)
    known = f"; resources/manifest.yaml can download: {', '.join(MANIFEST)}"
    refuse(f"{key} = {path}: no such file or folder{known if name != path else ''}")


def code(stage):
    """Changes when code that the stage uses does, and not with its comments (closure.py)."""
    return fingerprint(f"crystalformer_rl.stages.{stage}")


def trained(file):
    """A file of every training behind each policy: one, or one a round."""
    folders = {"base": ["pretrain"], "sft": ["sft"]}
    for branch, settings in SETTINGS.rl.items():
        rounds = range(1, settings.rounds + 1)
        folders[f"rl-{branch}"] = [f"rl-{branch}/round-{number}" for number in rounds]
    return {p: [f"{RUN}/{part}/{file}" for part in parts] for p, parts in folders.items()}


def weights(policy):
    """The weights of a policy; those of a branch are its last round's."""
    if policy not in POLICIES:
        refuse(f"policy {policy}: there are {', '.join(POLICIES)}")
    return trained("model.safetensors")[policy][-1]


def sampled_weights(wildcards):
    return weights(wildcards.policy)


def previous_weights(wildcards):
    """What a round starts from: the round before, or the policy that the branch starts from."""
    number = int(wildcards.round)
    if number == 1:
        return weights(SETTINGS.rl[wildcards.branch].start)
    return f"{RUN}/rl-{wildcards.branch}/round-{number - 1}/model.safetensors"


def branch_settings(wildcards):
    return canonical(SETTINGS.rl[wildcards.branch], without=["rounds"])


def shards(stage, policy, count, suffix="parquet"):
    """The shards that hold the first ``count`` crystals of a policy."""
    numbers = range(count // SETTINGS.sample.shard_size)
    return [f"{RUN}/{stage}/{policy}/shard-{number:04d}.{suffix}" for number in numbers]


def judged(stage, suffix="parquet"):
    """The shards of every policy that are evaluated."""
    count = SETTINGS.sample.count
    return {policy: shards(stage, policy, count, suffix) for policy in POLICIES}


def named(files_by_name):
    """Arguments NAME=FILE."""
    return [f"{name}={file}" for name, files in files_by_name.items() for file in files]


def every(files_by_name):
    return [file for files in files_by_name.values() for file in files]


SETTINGS = settings_of(config)
RUN = f"results/{SETTINGS.run}"
LOGS = f"logs/{SETTINGS.run}"
POLICIES = ["base", "sft", *(f"rl-{branch}" for branch in SETTINGS.rl)]

SOURCES = {
    split: existing(path, f"dataset.sources.{split}")
    for split, path in SETTINGS.dataset.sources.items()
}
TABLE = SETTINGS.hull.csv_path
HULL_TABLE = TABLE and existing(TABLE, "hull.csv_path")
ELEMENTS = existing("resources/embedded/elements.json", "energies of the elements")
DATASET = SETTINGS.dataset.model_copy(update={"sources": SOURCES})
HULL = SETTINGS.hull.model_copy(update={"csv_path": HULL_TABLE})
