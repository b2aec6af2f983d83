"""The conda files pin what the requirements pin, and both name what the package needs."""

import re
import tomllib
from importlib import metadata

import pytest
import yaml
from helpers.copies import REPOSITORY
from packaging.specifiers import SpecifierSet

ENVS = REPOSITORY / "envs"


def pins(lines: list[str]) -> dict[str, str]:
    return dict(re.split("==", line) for line in lines if re.match(r"[A-Za-z]", line))


REQUIREMENTS = pins((ENVS / "requirements.txt").read_text().splitlines())


def needs(extra: str | None = None) -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {re.match(r"[\w.-]+", text)[0].lower() for text in listed}


@pytest.mark.parametrize("name", ["core", "torch"])
def test_conda_pins_are_the_requirements(name: str) -> None:
    (inner,) = (
        part["pip"]
        for part in yaml.safe_load((ENVS / f"{name}.yaml").read_text())["dependencies"]
        if isinstance(part, dict)
    )
    conda = pins(inner)
    assert conda.items() <= REQUIREMENTS.items()
    assert needs() - ({"torch", "chgnet"} if name == "core" else set()) <= set(conda)


def test_requirements_pin_everything_that_a_run_needs() -> None:
    assert needs() | needs("workflow") <= set(REQUIREMENTS)
    assert REQUIREMENTS["torch"] == "2.13.0"


def test_requirements_for_development_pin_the_checks() -> None:
    lines = (ENVS / "requirements-dev.txt").read_text().splitlines()
    assert "-r requirements.txt" in lines
    assert needs("develop") <= {name.lower() for name in pins(lines)} | set(REQUIREMENTS)
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if line[:1].isalpha())


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_allows_the_python_of_debian_12(name: str) -> None:
    found = {
        package: metadata.metadata(package).get("Requires-Python")
        for package in pins((ENVS / name).read_text().splitlines())
    }
    wrong = {
        one: text for one, text in found.items() if text and "3.11.2" not in SpecifierSet(text)
    }
    assert wrong == {}


def test_rules_name_environments_that_exist() -> None:
    for path in (REPOSITORY / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        named = re.findall(r'conda:\n +"([^"]+)"', text)
        assert len(named) == len(re.findall(r"^rule ", text, flags=re.MULTILINE))
        assert all((path.parent / name).is_file() for name in named)
