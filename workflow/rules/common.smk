"""What the rules share: the settings, where files are, the files that the user named."""

import mimetypes
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

from crystalformer_rl.config import canonical, read
from crystalformer_rl.config.removals import idle_removals
from crystalformer_rl.config.spellings import mistakes
from crystalformer_rl.jobs.cleanup import forget_finished
from crystalformer_rl.jobs.fingerprint import fingerprint
from crystalformer_rl.layout import Layout, write_settings
from crystalformer_rl.manifest import DOWNLOADS, read_manifest
from crystalformer_rl.model.folder import check_policy, policy_files, policy_folder
from crystalformer_rl.properties import FEATURES_OF


async def leave_incomplete(persistence, job):
    """Do nothing, where a job on a node would mark its files as complete.

    The driver marks them too, with the settings they were made with. If it has died, complete files
    without that record would be kept for good, whatever changes in the configuration. Snakemake has
    no option or hook for this; tests/workflow/test_dead_driver.py and tests/slurm show the effect.
    """


if not hasattr(PersistenceBase, "finished"):
    raise RuntimeError(
        "snakemake.persistence.PersistenceBase.finished, which workflow/rules/common.smk replaces "
        "on nodes, is not in this version of Snakemake: install envs/requirements.txt"
    )
if not workflow.is_main_process:
    PersistenceBase.finished = leave_incomplete


# `snakemake --report` asks for it; a type that it does not know it shows as text.
mimetypes.add_type("application/vnd.apache.parquet", ".parquet")


def refuse(problem):
    """End the run before it starts; a WorkflowError would print a traceback under the message."""
    raise SystemExit(f"The configuration is not valid:\n{problem}")


def settings_of(raw):
    """The validated settings; a mistake ends the run here, with the path of the key."""
    texts = {
        str(path): Path(path).read_text(encoding="utf-8")
        for path in workflow.configfiles
    }
    for path, text in texts.items():
        if found := mistakes(text):
            refuse("\n".join(f"{path}: {line}" for line in found))
    if idle := idle_removals(texts):
        refuse("\n".join(idle))
    try:
        return read(raw)
    except ValueError as error:
        refuse(error)


def existing(path, key):
    """The path of an input: as given, else in the repository, or of a file to be downloaded."""
    name = path.removeprefix(DOWNLOADS)
    if Path(path).exists() or (name != path and name in MANIFEST):
        return path
    if (ROOT / path).exists():
        return str(ROOT / path)
    hint = ""
    if name != path:
        hint = f"; resources/manifest.yaml can download: {', '.join(MANIFEST)}"
    elif key.startswith("dataset.sources"):
        hint = (
            "; put there a table with the columns material_id and cif (csv, csv.gz, csv.xz or "
            "parquet), an extxyz file or a folder of CIFs; the first lines of an overlay say "
            "where its crystals come from (config/alex20.yaml)"
        )
    refuse(f"{key} = {path}: no such file or folder{hint}")


def finished_policy(name, key, by_histogram=()):
    """The folder of a policy that is not trained here, by its path or its name; None for None."""
    if name is None:
        return None
    try:
        folder = policy_folder(name)
        check_policy(folder, by_histogram=by_histogram)
    except (FileNotFoundError, ValueError) as error:
        refuse(f"{key} = {name}: {error}")
    # A run that is moved with its repository is still up to date.
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def elements_of(potential, computed):
    """Energies of the elements: those of some potentials come with the project."""
    shipped = f"resources/elements/{potential}.json"
    if (ROOT / shipped).is_file():
        return existing(shipped, "energies of the elements")
    return computed


def code(stage, potential=None, reward=None):
    """Changes when code that can change the result of the stage does."""
    return fingerprint(
        f"crystalformer_rl.stages.{stage}", potential=potential, reward=reward
    )


def branch_code(wildcards):
    return code("rl", reward=SETTINGS.rl[wildcards.branch].reward)


# Arguments that change no result. Snakemake does not compare params that are functions of the
# output, so that another value of these reruns nothing.
def trust_argument(wildcards, output):
    """Whether a stage may load a potential from a file that can run code."""
    return ["--trust-pickles"] if SETTINGS.jobs.trust_pickles else []


def start_argument(wildcards, output):
    """The policy whose training continues; it is among the inputs, which decide about reruns."""
    return ["--start", START] if START else []


def after_argument(wildcards, input, output):
    """The crystals of an earlier relaxation to start from; the input decides about reruns."""
    return ["--after", input.after] if input.after else []


def training_arguments(wildcards, output):
    """How often a training writes checkpoints, and where its history for TensorBoard goes."""
    words = ["--checkpoint-minutes", str(SETTINGS.jobs.checkpoint_minutes)]
    if SETTINGS.jobs.tensorboard:
        training = Path(output.model).parent.relative_to(RUN)
        words += ["--tensorboard", f"{LOGS}/{training}"]
    return words


def reward_inputs(wildcards):
    """What a branch reads: the hull and the dataset, if it needs them; files of the user's."""
    branch = SETTINGS.rl[wildcards.branch]
    reward = branch.reward
    files = {"reward": reward.files} if reward.files else {}
    if branch.needs_dataset:
        files |= {"known": rules.dataset.output.structures}
    if reward.needs_hull:
        hull = rules.hull.output
        files |= {"hull": hull.hull, "elements": hull.elements, "rules": hull.rules}
    return files


def reward_arguments(wildcards, output):
    """Arguments for what the reward reads; inputs and settings decide about reruns, not these."""
    branch = SETTINGS.rl[wildcards.branch]
    reward = branch.reward
    words = ["--trust-code"] if reward.runs_code else []
    if reward.needs_hull:
        words += ["--hull", str(Path(rules.hull.output.hull).parent)]
    if branch.needs_dataset:
        words += ["--known", rules.dataset.output.structures]
    return words


def energies_argument(stage):
    """The shards of energies that a hull reads, for the command; the inputs decide about reruns."""

    def argument(wildcards, output):
        count = LAYOUT.energies_count(stage)
        return ["--energies", *count] if count else []

    return argument


def taught_by(wildcards):
    """The policy from whose samples a round of iterated SFT learns, and the number of samples."""
    samples = SETTINGS.rl[wildcards.branch].sft.samples
    return LAYOUT.teacher(wildcards.branch, int(wildcards.round)), samples


def known_crystals(settings):
    """The crystals of the dataset, for an SFT that leaves out what is known."""
    return rules.dataset.output.structures if settings.novel else []


def known_argument(wildcards, input, output):
    """The same for the command; the input and the settings decide about reruns, not this."""
    return ["--known", input.known] if input.known else []


MANIFEST = read_manifest(ROOT / "resources/manifest.yaml")
SETTINGS = settings_of(config)
LAYOUT = Layout(
    SETTINGS,
    finished_policy(SETTINGS.base_policy, "base_policy", SETTINGS.by_histogram),
)
START = finished_policy(SETTINGS.pretrain.start, "pretrain.start")
OWN_POLICY = "base|sft|rl-[A-Za-z0-9][A-Za-z0-9_.-]*"
RUN, LOGS = LAYOUT.results, LAYOUT.logs

SOURCES = {
    split: existing(path, f"dataset.sources.{split}")
    for split, path in SETTINGS.dataset.sources.items()
}
EXTERNAL = {
    name: existing(path, f"external.{name}") for name, path in SETTINGS.external.items()
}
HULL_FILES = [existing(path, "hull.files") for path in SETTINGS.hull.files]
COMPARISON_FILES = [
    existing(path, "comparison_hull.files") for path in SETTINGS.comparison_hull.files
]
ELEMENT_CRYSTALS = existing(
    "resources/elements/crystals.parquet", "crystals of the elements"
)
DATASET = SETTINGS.dataset.model_copy(update={"sources": SOURCES})
HULL = SETTINGS.hull.model_copy(update={"files": HULL_FILES})
COMPARISON_HULL = HULL.model_copy(
    update=SETTINGS.comparison_hull.model_dump() | {"files": COMPARISON_FILES}
)
JUDGE_HULL = HULL.model_copy(
    update={"reference": "dataset", "files": [], "potential": SETTINGS.judge.potential}
)

for branch, settings in SETTINGS.rewarded.items():
    for below, part in settings.reward.singles.items():
        if problem := part.problem():
            refuse(f"rl.{branch}.reward{below}.path = {part.path}: {problem}")
