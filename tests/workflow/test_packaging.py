"""What the outside world asks of the repository: the workflow catalog, and a container recipe."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.copies import REPOSITORY

DOCKERFILE = REPOSITORY / "containers/Dockerfile"


def test_the_workflow_catalog_would_list_it() -> None:
    """The criteria of its page "Adding workflows", those of standardised usage among them."""
    text = (REPOSITORY / "README.md").read_text().lower()
    assert "snakemake" in text
    assert "workflow" in text
    assert (REPOSITORY / "workflow/Snakefile").is_file()
    assert list((REPOSITORY / "workflow/rules").glob("*.smk"))
    assert (REPOSITORY / "config/README.md").is_file()
    usage = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda"}
    assert any(deployment.values())
    assert all(isinstance(value, bool) for value in (*deployment.values(), usage["report"]))


def test_the_container_recipe_has_no_fault_that_the_linter_knows() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert linter is not None
    done = subprocess.run([linter, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_container_gets_what_it_copies() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().split()
    for path in re.findall(r"^COPY (\S+) ", DOCKERFILE.read_text(), re.MULTILINE):
        assert (REPOSITORY / path).exists()
        assert path not in ignored


def docker(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["docker", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_container_is_built_where_docker_runs() -> None:
    if shutil.which("docker") is None or docker("info").returncode:
        pytest.skip("docker does not run here")
    (base,) = re.findall(r"^FROM (\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    if docker("pull", base).returncode:
        pytest.skip(f"docker cannot pull {base}")
    done = docker("build", "--file", str(DOCKERFILE), "--tag", "crystalformer-rl-test", ".")
    assert done.returncode == 0, done.stderr
    said = docker("run", "--rm", "crystalformer-rl-test", "crystalformer-rl", "--version")
    assert said.stdout.startswith("crystalformer-rl "), said.stderr
