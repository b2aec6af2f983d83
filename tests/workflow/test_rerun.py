"""The rerun matrix: for each edit, exactly the jobs that would run, from a finished run."""

import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import yaml
from helpers.copies import Copy, copy_repository

from crystalformer_rl.config import Config

POLICIES = ("base", "sft", "rl-ehull", "rl-fom")
CONFIG = Config()
SIZE = CONFIG.sample.shard_size
JUDGED = CONFIG.sample.count // SIZE
FOR_SFT = CONFIG.sft.samples // SIZE
SHARDS = dict.fromkeys(POLICIES, range(JUDGED)) | {"base": range(max(JUDGED, FOR_SFT))}
JUDGED_AGAIN = CONFIG.judge.count // SIZE
FIRST = {"Reading the crystals of resources/mp20/crystals.parquet"}
ENERGIES = {"Computing energies for the hull, shard 0000"}
JUDGE_ENERGIES = {"Computing energies for the judge's hull, shard 0000"}
HULLS = {"Building the convex hull", "Building the judge's convex hull"}
COMPARISON = {"Building the comparison hull"}
TOKENS = {"Tokenizing the crystals"}
KNOWN = {"Describing the crystals of the dataset"}
PRETRAIN, SFT = {"Pretraining"}, {"Fine-tuning on relaxed samples"}
EVALUATE, REPORT = {"Joining the evaluated structures"}, {"Writing the report"}
END = EVALUATE | REPORT


def rl(branch: str, *rounds: int) -> set[str]:
    return {f"RL fine-tuning {branch}, round {number}" for number in rounds}


def sampled(*policies: str) -> set[str]:
    return {f"Sampling {p}, shard {k:04d}" for p in policies for k in SHARDS[p]}


def relaxed(*policies: str) -> set[str]:
    return {f"Relaxing {p}, shard {k:04d}" for p in policies for k in SHARDS[p]}


def second(*policies: str, shards: Iterable[int] = range(JUDGED_AGAIN)) -> set[str]:
    return {
        f"Relaxing {p}, shard {k:04d}, with the judge's potential" for p in policies for k in shards
    }


def assessed(*policies: str, shards: Iterable[int] = range(JUDGED)) -> set[str]:
    return {f"Evaluating {p}, shard {k:04d}" for p in policies for k in shards}


def drawn(*policies: str) -> set[str]:
    return sampled(*policies) | relaxed(*policies) | second(*policies) | assessed(*policies)


ALL = assessed(*POLICIES) | END
BY_JUDGE = assessed(*POLICIES, shards=range(JUDGED_AGAIN)) | END
BRANCHES = rl("ehull", 1, 2) | rl("fom", 1, 2)
AFTER_SFT = drawn("sft") | END
# The code of a relaxation is part of every reward that may relax first (`relax_steps`).
RELAXING_REWARDS = BRANCHES | drawn("rl-ehull", "rl-fom")
AFTER_HULL = SFT | AFTER_SFT | BRANCHES | drawn("rl-ehull", "rl-fom") | ALL
AFTER_BASE = SFT | BRANCHES | drawn(*POLICIES) | END
EVERYTHING = (
    FIRST | ENERGIES | JUDGE_ENERGIES | HULLS | COMPARISON | TOKENS | KNOWN | PRETRAIN | AFTER_BASE
)

Edit = Callable[[Copy], None]


def setting(path: str, value: object) -> Edit:
    """Set a key of config.yaml, leaving its comments as they are."""

    def edit(copy: Copy) -> None:
        config = yaml.safe_load((copy.folder / "config.yaml").read_text())
        *parents, last = path.split(".")
        section = config
        for key in parents:
            section = section[key]
        assert last in section, f"{path} is not a key"
        assert section[last] != value
        section[last] = value
        (copy.folder / "config.yaml").write_text(yaml.safe_dump(config))

    return edit


def theirs(copy: Copy) -> None:
    (copy.folder / "theirs.extxyz").write_text("")
    setting("external", {"theirs": "theirs.extxyz"})(copy)


def text(path: str, change: Callable[[str], str]) -> Edit:
    return lambda copy: copy.edit(path, change)


def source(path: str, old: str, new: str) -> Edit:
    """Replace the first ``old`` in a module."""
    return text(f"src/crystalformer_rl/{path}", lambda found: found.replace(old, new, 1))


def code(path: str) -> Edit:
    return text(f"src/crystalformer_rl/{path}", lambda old: old + "\nADDED = 1\n")


def docstring(path: str) -> Edit:
    return source(path, '"""', '"""Edited. ')


def new_potential(copy: Copy) -> None:
    """A wrapper, and its row in the list of potentials."""
    package = copy.folder / "src/crystalformer_rl"
    shutil.copy(package / "potentials/mace.py", package / "potentials/another.py")
    row = 'PotentialInfo("another", title="A", packages=("a",), licence="MIT"),'
    source("config/potentials.py", "_ROWS = (", f"_ROWS = (\n    {row}")(copy)


def new_reward(copy: Copy) -> None:
    """A reward, its settings, and its place in the list of rewards."""
    package = copy.folder / "src/crystalformer_rl"
    shutil.copy(package / "rewards/ehull.py", package / "rewards/another.py")
    settings = """class AnotherReward(RewardSettings):
    module = "crystalformer_rl.rewards.another"
    title = "another"
    kind: Literal["another"] = "another"


"""
    source("config/rewards.py", "SingleReward =", f"{settings}SingleReward =")(copy)
    union = "SingleReward = ("
    source("config/rewards.py", union, f"{union}AnotherReward | ")(copy)


def helps(copy: Copy) -> None:
    """Reword every help text of every verb, and every text of the log."""
    changed = 0
    for file in (copy.folder / "src/crystalformer_rl").rglob("*.py"):
        before = file.read_text(encoding="utf-8")
        after = re.sub(r'((?:\bhelp=|\bmetavar=|\blog\.\w+\()f?")', r"\1Reworded ", before)
        changed += after != before
        file.write_text(after, encoding="utf-8")
    assert changed > 20


def settings_words(copy: Copy) -> None:
    """Reword every description and every message of the settings."""
    for file in (copy.folder / "src/crystalformer_rl/config").glob("*.py"):
        before = file.read_text(encoding="utf-8")
        after = re.sub(r'((?:description=|ValueError\()\s*f?")', r"\1Reworded ", before)
        file.write_text(after, encoding="utf-8")


def new_key(value: float | None) -> Edit:
    """Add a key to the relaxations that is neutral at 0; set ``relax.noise`` to ``value``."""

    def edit(copy: Copy) -> None:
        place = "    max_steps: int"
        key = "    noise: Annotated[float, Neutral(0.0)] = 0.0\n"
        source("config/judging.py", place, key + place)(copy)
        source("config/judging.py", "fields import (", "fields import (\n    Neutral,")(copy)
        if value is not None:
            copy.edit(
                "config.yaml", lambda old: old.replace("\nrelax:", f"\nrelax:\n  noise: {value}")
            )

    return edit


def default_of_best(copy: Copy) -> None:
    """Another default of ``report.best``, which no longer stands in config.yaml."""
    text(
        "src/crystalformer_rl/config/judging.py",
        lambda old: re.sub(r"(best: PositiveInt = Field\(\s*default=)8", r"\g<1>9", old),
    )(copy)
    copy.edit("config.yaml", lambda old: old.replace("\n  best: 8", ""))


def comment(path: str) -> Edit:
    return text(path, lambda old: old + "\n# a remark\n")


def touch(*paths: str) -> Edit:
    def edit(copy: Copy) -> None:
        for path in paths:
            os.utime(copy.folder / path)

    return edit


def reordered(copy: Copy) -> None:
    config = yaml.safe_load((copy.folder / "config.yaml").read_text())
    turned = dict(reversed(config.items()))
    turned["relax"] = dict(reversed(config["relax"].items()))
    (copy.folder / "config.yaml").write_text(yaml.safe_dump(turned, sort_keys=False))


def resources(copy: Copy) -> None:
    copy.edit(
        "workflow/profiles/slurm/config.v8+.yaml",
        lambda old: old.replace("runtime: ", "runtime: 9"),
    )
    copy.edit("workflow/rules/relax.smk", lambda old: re.sub(r"runtime=\d+", "runtime=99", old))
    copy.edit("workflow/rules/rl.smk", lambda old: re.sub(r"\d+ \* attempt", "9 * attempt", old))


MATRIX: dict[str, tuple[Edit, Iterable[str]]] = {
    "relax.max_force": (
        setting("relax.max_force", 0.05),
        relaxed(*POLICIES) | second(*POLICIES) | SFT | AFTER_SFT | ALL,
    ),
    "rl.ehull.weight": (
        setting("rl.ehull.weight", 2.0),
        rl("ehull", 1, 2) | drawn("rl-ehull") | END,
    ),
    "rl.fom.weight": (
        setting("rl.fom.weight", 2.0),
        rl("fom", 1, 2) | drawn("rl-fom") | END,
    ),
    "rl.ehull.rounds up: the new round and its samples": (
        setting("rl.ehull.rounds", 3),
        rl("ehull", 3) | drawn("rl-ehull") | END,
    ),
    "sample.count up: the new shards": (
        setting("sample.count", CONFIG.sample.count + SIZE),
        {
            f"{verb} {policy}, shard {JUDGED:04d}"
            for verb in ("Sampling", "Relaxing")
            for policy in POLICIES
            if JUDGED not in SHARDS[policy]
        }
        | assessed(*POLICIES, shards=[JUDGED])
        | END,
    ),
    "sample.temperature": (
        setting("sample.temperature", 0.9),
        drawn(*POLICIES) | SFT | END,
    ),
    "sft.epochs": (setting("sft.epochs", CONFIG.sft.epochs + 1), SFT | AFTER_SFT),
    "pretrain.learning_rate": (
        setting("pretrain.learning_rate", CONFIG.pretrain.learning_rate / 2),
        PRETRAIN | AFTER_BASE,
    ),
    "evaluate.stable_below": (setting("evaluate.stable_below", 0.0), ALL),
    "evaluate.strict.site_tolerance": (setting("evaluate.strict.site_tolerance", 0.1), ALL),
    "a new name under external": (
        theirs,
        {"Reading the crystals of theirs"}
        | {f"Relaxing theirs, shard {k:04d}" for k in range(JUDGED)}
        | second("theirs")
        | assessed("theirs")
        | END,
    ),
    "judge.start": (setting("judge.start", "sample"), second(*POLICIES) | BY_JUDGE),
    "judge.max_steps": (setting("judge.max_steps", 50), second(*POLICIES) | BY_JUDGE),
    "judge.count up: the new shards": (
        setting("judge.count", CONFIG.judge.count + 1),
        second(*POLICIES, shards=[JUDGED_AGAIN]) | assessed(*POLICIES, shards=[JUDGED_AGAIN]) | END,
    ),
    "no judge": (setting("judge.potential", None), BY_JUDGE),
    "report.title": (setting("report.title", "Another title"), REPORT),
    "hull.min_references": (
        setting("hull.min_references", 2),
        HULLS | COMPARISON | AFTER_HULL,
    ),
    "hull.shards: no energy is computed again, but its jobs are others": (
        setting("hull.shards", 2),
        ENERGIES
        | JUDGE_ENERGIES
        | {job.replace("0000", "0001") for job in ENERGIES | JUDGE_ENERGIES}
        | HULLS
        | AFTER_HULL,
    ),
    "seed": (setting("seed", 1), PRETRAIN | AFTER_BASE),
    "dataset.limit": (setting("dataset.limit", 1000), EVERYTHING),
    "code of evaluation/sun.py": (code("evaluation/sun.py"), END),
    "code of evaluation/uniqueness.py": (code("evaluation/uniqueness.py"), END),
    "code of evaluation/displacement.py": (code("evaluation/displacement.py"), ALL),
    "code of model/transformer.py": (code("model/transformer.py"), PRETRAIN | AFTER_BASE),
    "code of potentials/relax.py": (
        code("potentials/relax.py"),
        relaxed(*POLICIES) | second(*POLICIES) | SFT | AFTER_SFT | RELAXING_REWARDS | ALL,
    ),
    "code of report/page.py": (code("report/page.py"), REPORT),
    "code of potentials/lbfgs.py": (
        code("potentials/lbfgs.py"),
        relaxed(*POLICIES) | second(*POLICIES) | SFT | AFTER_SFT | RELAXING_REWARDS | ALL,
    ),
    "code of potentials/sevennet.py, the judge": (
        code("potentials/sevennet.py"),
        JUDGE_ENERGIES | {"Building the judge's convex hull"} | second(*POLICIES) | BY_JUDGE,
    ),
    "code of stages/energies.py": (
        code("stages/energies.py"),
        ENERGIES | JUDGE_ENERGIES | HULLS | AFTER_HULL,
    ),
    "code of stages/hull.py": (code("stages/hull.py"), HULLS | COMPARISON | AFTER_HULL),
    "code of training/ppo.py": (
        code("training/ppo.py"),
        BRANCHES | drawn("rl-ehull", "rl-fom") | END,
    ),
    "code of rewards/figure_of_merit.py": (
        code("rewards/figure_of_merit.py"),
        rl("fom", 1, 2) | drawn("rl-fom") | END,
    ),
    "a new key with another value": (
        new_key(0.5),
        relaxed(*POLICIES) | second(*POLICIES) | SFT | AFTER_SFT | ALL,
    ),
    "the default of a key that config.yaml does not give": (default_of_best, REPORT),
}
WITHOUT_EFFECT: dict[str, Edit] = {
    "jobs.checkpoint_minutes": setting("jobs.checkpoint_minutes", 5),
    "jobs.tensorboard": setting("jobs.tensorboard", True),
    "jobs.trust_pickles": setting("jobs.trust_pickles", True),
    "keys of config.yaml in another order": reordered,
    "a comment in config.yaml": comment("config.yaml"),
    "every text of config/": settings_words,
    "every help text and every text of the log": helps,
    "code of the command line": code("cli.py"),
    "a docstring of model/transformer.py": docstring("model/transformer.py"),
    "a comment in stages/relax.py": comment("src/crystalformer_rl/stages/relax.py"),
    "rounding in jobs/provenance.py": source(
        "jobs/provenance.py", "round(seconds, 3)", "round(seconds, 2)"
    ),
    "code of jobs/progress.py": code("jobs/progress.py"),
    "code of jobs/tensorboard.py": code("jobs/tensorboard.py"),
    "code of a potential that is not used": code("potentials/mace.py"),
    "a new potential": new_potential,
    "a new reward": new_reward,
    "a new key, not in config.yaml": new_key(None),
    "resources of the profile and of rules": resources,
    "files touched without a change": touch(
        "config.yaml",
        "resources/mp20/crystals.parquet",
        "resources/elements/chgnet.json",
        "src/crystalformer_rl/model/transformer.py",
        "workflow/Snakefile",
    ),
}
"""Edits that rerun nothing; they are made together, in this order."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy in which every file of the default run is there and recorded as up to date."""
    copy = copy_repository(tmp_path_factory.mktemp("finished") / "clone")
    copy.finish()
    return copy


def test_a_fresh_clone_would_run_everything(copy: Copy) -> None:
    assert copy.planned() == EVERYTHING


def test_a_finished_run_has_nothing_to_do(finished: Copy) -> None:
    assert "Nothing to be done" in finished.snakemake("--dry-run")


@pytest.mark.parametrize("name", MATRIX)
def test_an_edit_runs_exactly_what_depends_on_it(finished: Copy, tmp_path: Path, name: str) -> None:
    edit, expected = MATRIX[name]
    copy = finished.duplicate(tmp_path / "clone")
    edit(copy)
    assert copy.planned() == set(expected)


def test_edits_without_effect_run_nothing(finished: Copy, tmp_path: Path) -> None:
    copy = finished.duplicate(tmp_path / "clone")
    for edit in WITHOUT_EFFECT.values():
        edit(copy)
    assert copy.planned() == set()


def test_a_fresh_clone_beside_old_results_runs_nothing(finished: Copy, tmp_path: Path) -> None:
    """All sources with new time stamps, as after ``git clone`` or ``rsync``."""
    copy = finished.duplicate(tmp_path / "clone")
    for part in ("src", "workflow", "resources", "config"):
        for path in (copy.folder / part).rglob("*"):
            os.utime(path)
    assert copy.planned() == set()
