"""What the rules share: the settings, fingerprints of code, the inputs that the user named."""

import os
import sys
from pathlib import Path

from snakemake.persistence import PersistenceBase

ROOT = Path(workflow.current_basedir).parents[1]

# Jobs, here and on a node, run this checkout's package with the Python that runs snakemake (or the
# one of the rule's conda environment, which comes first then); nothing has to be activated.
sys.path.insert(0, str(ROOT / "src"))
for variable, path in (
    ("PYTHONPATH", ROOT / "src"),
    ("PATH", Path(sys.executable).parent),
):
    before = os.environ.get(variable)
    os.environ[variable] = f"{path}{os.pathsep}{before}" if before else str(path)

from crystalformer_rl.jobs.fingerprint import fingerprint
from crystalformer_rl.config import TRUST_PICKLES, canonical, read
from crystalformer_rl.manifest import DOWNLOADS, read_manifest
from crystalformer_rl.model.folder import unfit
from crystalformer_rl.jobs.cleanup import forget_finished

MANIFEST = read_manifest(ROOT / "resources/manifest.yaml")


include: "inputs.smk"


async def leave_incomplete(persistence, job):
    """What a job on a node does at its end instead of marking its files as complete.

    Its driver does so, and notes what they were made from. If the driver is dead, files without
    that note would be taken for good, whatever is changed in the configuration after.
    """


if not workflow.is_main_process:
    PersistenceBase.finished = leave_incomplete


def refuse(problem):
    """End the run before it starts; a WorkflowError would print a traceback under the message."""
    raise SystemExit(f"The configuration is not valid:\n{problem}")


def settings_of(raw):
    """The validated settings; a mistake ends the run here, with the path of the key."""
    try:
        return read(raw)
    except ValueError as error:
        refuse(error)


def finished_policy(name):
    """The folder of a policy that is not trained here, by its path or its name."""
    pretrained = ROOT / "resources/pretrained"
    for folder in (Path(name), pretrained / name):
        if (folder / "model.safetensors").is_file():
            if problem := unfit(folder, SETTINGS):
                refuse(f"base_policy = {name}: {problem}")
            return str(folder)
    known = ", ".join(
        sorted(path.parent.name for path in pretrained.glob("*/model.json"))
    )
    refuse(
        f"base_policy = {name}: no folder with model.safetensors, and none of that name in "
        f"resources/pretrained, which has {known or 'none'}"
    )


def elements_of(potential, computed):
    """Energies of the elements: of some potentials they come with the project."""
    shipped = ROOT / f"resources/embedded/elements-{potential}.json"
    return (
        existing(f"resources/embedded/{shipped.name}", "energies of the elements")
        if shipped.is_file()
        else computed
    )


def code(stage):
    """Changes when code that the stage uses does, and not with its comments (closure.py)."""
    return fingerprint(f"crystalformer_rl.stages.{stage}")


SETTINGS = settings_of(config)
# Not a param: it changes no result.
os.environ[TRUST_PICKLES] = str(int(SETTINGS.jobs.trust_pickles))
RUN = f"results/{SETTINGS.run}"
LOGS = f"logs/{SETTINGS.run}"
BASE = SETTINGS.base_policy and finished_policy(SETTINGS.base_policy)
POLICIES = ["base", "sft", *(f"rl-{branch}" for branch in SETTINGS.rl)]

SOURCES = {
    split: existing(path, f"dataset.sources.{split}")
    for split, path in SETTINGS.dataset.sources.items()
}
HULL_FILES = [existing(path, "hull.files") for path in SETTINGS.hull.files]
COMPARISON_FILES = [
    existing(path, "comparison_hull.files") for path in SETTINGS.comparison_hull.files
]
ELEMENT_CRYSTALS = existing(
    "resources/embedded/element_crystals.parquet", "crystals of the elements"
)
DATASET = SETTINGS.dataset.model_copy(update={"sources": SOURCES})
HULL = SETTINGS.hull.model_copy(update={"files": HULL_FILES})
COMPARISON_HULL = HULL.model_copy(
    update={"reference": SETTINGS.comparison_hull.reference, "files": COMPARISON_FILES}
)
JUDGE_HULL = HULL.model_copy(
    update={"reference": "dataset", "files": [], "potential": SETTINGS.judge.potential}
)
