"""The list of potentials: how they are written, and that everything around it agrees."""

import ast
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from crystalformer_rl.config.potentials import FORMS, POTENTIALS, parse, title

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("chgnet", ("chgnet", None)),
        ("sevennet", ("sevennet", "7net-0")),
        ("sevennet:7net-l3i5", ("sevennet", "7net-l3i5")),
        ("orb:weights/orb-v2-20241011.ckpt", ("orb", "weights/orb-v2-20241011.ckpt")),
        ("matgl:owner/model", ("matgl", "owner/model")),
        ("mace:a:b.model", ("mace", "a:b.model")),
    ],
)
def test_parse(spec: str, parsed: tuple[str, str | None]) -> None:
    info, model = parse(spec)
    assert (info.name, model) == parsed


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("chgnt", "unknown potential 'chgnt': allowed are chgnet, sevennet, sevennet:MODEL, orb:"),
        ("", "unknown potential ''"),
        ("chgnet:0.2.0", "'chgnet:0.2.0' names a model, and chgnet has only one: write chgnet"),
        ("sevennet:", "'sevennet:' has no model after the colon: write sevennet:MODEL, where"),
        ("mace", "'mace' lacks its model: write mace:PATH, where PATH is a .model file"),
    ],
)
def test_an_invalid_spec_says_what_is_allowed(spec: str, words: str) -> None:
    with pytest.raises(ValueError) as error:
        parse(spec)
    assert words in str(error.value)


def test_every_form_that_is_offered_is_accepted() -> None:
    assert {parse(form)[0].name for form in FORMS} == set(POTENTIALS)


def test_titles_name_the_model_unless_it_is_the_default() -> None:
    assert [title(spec) for spec in ("chgnet", "sevennet:7net-0", "sevennet:7net-l3i5")] == [
        "CHGNet", "SevenNet", "SevenNet 7net-l3i5",
    ]  # fmt: skip


@pytest.mark.parametrize("name", POTENTIALS)
def test_each_potential_is_installed_by_its_extra(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"].get(name, project["dependencies"])
    assert set(POTENTIALS[name].packages) <= {re.split("[<>=]", line)[0] for line in lines}


@pytest.mark.parametrize("name", POTENTIALS)
def test_only_files_that_may_run_code_need_trust(name: str) -> None:
    found = find_spec(POTENTIALS[name].module)
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).read_bytes())
    calls = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    checks = any(call.startswith("refuse_unless_") for call in calls)
    assert POTENTIALS[name].pickled == checks
