"""The workflow's own checks: form, lint, generated files, profiles."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.copies import REPOSITORY, Copy
from pydantic import BaseModel

from crystalformer_rl.config import Config


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_lint(copy: Copy) -> None:
    assert "good condition" in copy.snakemake("--lint")


def test_form() -> None:
    done = run(str(Path(sys.executable).with_name("snakefmt")), "--check", "Snakefile", "workflow")
    assert done.returncode == 0, done.stderr


def test_generated_files_are_in_step() -> None:
    done = run(sys.executable, "-m", "crystalformer_rl", "configure", "--check")
    assert done.returncode == 0, done.stderr


def test_the_committed_config_is_the_default_run() -> None:
    """Two places state the defaults: the models and config.yaml."""
    done = run("git", "diff", "--quiet", "HEAD", "--", "config.yaml")
    if done.returncode != 0:
        pytest.skip("config.yaml was edited")
    config = Config.model_validate(yaml.safe_load((REPOSITORY / "config.yaml").read_text()))
    assert config == Config()


def test_every_key_is_explained() -> None:
    def undescribed(model: type[BaseModel]) -> list[str]:
        return [
            f"{model.__name__}.{name}"
            for name, field in model.model_fields.items()
            if name != "kind" and not field.description and "Settings" not in str(field.annotation)
        ]

    models = [Config, *(type(value) for _, value in Config() if isinstance(value, BaseModel))]
    for branch in Config().rl.values():
        models += [type(branch), type(branch.reward)]
    assert [name for model in models for name in undescribed(model)] == []


def test_links_at_the_root() -> None:
    """What makes --profile NAME and the automatic profile work from a fresh clone."""
    assert (REPOSITORY / "slurm").readlink() == Path("workflow/profiles/slurm")
    assert (REPOSITORY / "profiles").readlink() == Path("workflow/profiles")
