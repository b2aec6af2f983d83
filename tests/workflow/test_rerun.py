"""The rerun matrix: for each edit, exactly the jobs that would run, from a finished run."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import yaml
from helpers.clone import Copy, copy_repository

from crystalformer_rl.config import Config

POLICIES = ("base", "sft", "rl-ehull", "rl-fom")
CONFIG = Config()
SIZE = CONFIG.sample.shard_size
JUDGED = CONFIG.sample.count // SIZE
FOR_SFT = CONFIG.sft.samples // SIZE
SHARDS = dict.fromkeys(POLICIES, range(JUDGED)) | {"base": range(max(JUDGED, FOR_SFT))}
JUDGED_AGAIN = CONFIG.judge.count // SIZE
FIRST = {"Reading the crystals of resources/embedded/crystals.parquet"}
HULLS = {"Building the convex hull", "Building the judge's convex hull"}
TOKENS = {"Tokenizing the crystals"}
PRETRAIN, SFT = {"Pretraining"}, {"Fine-tuning on relaxed samples"}
EVALUATE, REPORT = {"Judging the generated structures"}, {"Writing the report"}
END = EVALUATE | REPORT


def rl(branch: str, *rounds: int) -> set[str]:
    return {f"Reinforcing {branch}, round {number}" for number in rounds}


def sampled(*policies: str) -> set[str]:
    return {f"Sampling {p}, shard {k:04d}" for p in policies for k in SHARDS[p]}


def relaxed(*policies: str) -> set[str]:
    return {f"Relaxing {p}, shard {k:04d}" for p in policies for k in SHARDS[p]}


def second(*policies: str, shards: Iterable[int] = range(JUDGED_AGAIN)) -> set[str]:
    return {f"Judging {p}, shard {k:04d}, with another potential" for p in policies for k in shards}


def drawn(*policies: str) -> set[str]:
    return sampled(*policies) | relaxed(*policies) | second(*policies)


BRANCHES = rl("ehull", 1, 2) | rl("fom", 1, 2)
AFTER_SFT = drawn("sft") | END
AFTER_BASE = SFT | BRANCHES | drawn(*POLICIES) | END
EVERYTHING = FIRST | HULLS | TOKENS | PRETRAIN | AFTER_BASE

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


def text(path: str, change: Callable[[str], str]) -> Edit:
    return lambda copy: copy.edit(path, change)


def code(path: str) -> Edit:
    return text(f"src/crystalformer_rl/{path}", lambda old: old + "\nADDED = 1\n")


def docstring(path: str) -> Edit:
    return text(f"src/crystalformer_rl/{path}", lambda old: old.replace('"""', '"""Edited. ', 1))


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
        relaxed(*POLICIES) | SFT | AFTER_SFT,
    ),
    "rl.ehull.weight": (
        setting("rl.ehull.weight", 2.0),
        rl("ehull", 1, 2) | drawn("rl-ehull") | END,
    ),
    "rl.fom.reward.caution": (
        setting("rl.fom.reward.caution", 2.0),
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
    "evaluate.stable_below": (setting("evaluate.stable_below", 0.0), END),
    "evaluate.strict.site_tolerance": (setting("evaluate.strict.site_tolerance", 0.1), END),
    "judge.max_steps": (setting("judge.max_steps", 50), second(*POLICIES) | END),
    "judge.count up: the new shards": (
        setting("judge.count", CONFIG.judge.count + 1),
        second(*POLICIES, shards=[JUDGED_AGAIN]) | END,
    ),
    "no judge": (setting("judge.potential", None), END),
    "report.title": (setting("report.title", "Another title"), REPORT),
    "seed": (setting("seed", 1), PRETRAIN | AFTER_BASE),
    "dataset.limit": (setting("dataset.limit", 1000), EVERYTHING),
    "jobs.checkpoint_minutes": (setting("jobs.checkpoint_minutes", 5), set()),
    "jobs.tensorboard": (setting("jobs.tensorboard", True), set()),
    "a comment in config.yaml": (comment("config.yaml"), set()),
    "keys of config.yaml in another order": (reordered, set()),
    "code of evaluation/sun.py": (code("evaluation/sun.py"), END),
    "code of model/transformer.py": (code("model/transformer.py"), PRETRAIN | AFTER_BASE),
    "code of potentials/relax.py": (
        code("potentials/relax.py"),
        relaxed(*POLICIES) | second(*POLICIES) | SFT | AFTER_SFT,
    ),
    "code of report/page.py": (code("report/page.py"), REPORT),
    "code of the command line": (code("cli.py"), set()),
    "a docstring of model/transformer.py": (docstring("model/transformer.py"), set()),
    "a comment in stages/relax.py": (comment("src/crystalformer_rl/stages/relax.py"), set()),
    "resources of the profile and of rules": (resources, set()),
    "files touched without a change": (
        touch(
            "config.yaml",
            "resources/embedded/crystals.parquet",
            "resources/embedded/elements-chgnet.json",
            "src/crystalformer_rl/model/transformer.py",
            "workflow/Snakefile",
        ),
        set(),
    ),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy in which every file of the default run is there and recorded as up to date.

    The files hold nothing, but Snakemake's records of them (parameters, code, inputs and their
    checksums) are those of a real run: ``--touch`` writes the same ones.
    """
    copy = copy_repository(tmp_path_factory.mktemp("finished") / "clone")
    summary = copy.snakemake("--summary").splitlines()
    header = next(i for i, line in enumerate(summary) if line.startswith("output_file\t"))
    files = [copy.folder / line.split("\t")[0] for line in summary[header + 1 :] if "\t" in line]
    assert len(files) > 80
    for file in files:
        folder = file if file.suffix == "" else file.parent
        folder.mkdir(parents=True, exist_ok=True)
        if file.suffix:
            file.write_text(file.name)
    copy.snakemake("--touch", "--forceall")
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


def test_a_fresh_clone_beside_old_results_runs_nothing(finished: Copy, tmp_path: Path) -> None:
    """All sources with new time stamps, as after ``git clone`` or ``rsync``."""
    copy = finished.duplicate(tmp_path / "clone")
    for part in ("src", "workflow", "resources", "config"):
        for path in (copy.folder / part).rglob("*"):
            os.utime(path)
    assert copy.planned() == set()
