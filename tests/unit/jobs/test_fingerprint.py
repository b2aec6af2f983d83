"""Fingerprints follow code and data, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crystalformer_rl.jobs import fingerprint as closure


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of a few modules in place of the real one."""
    root = tmp_path / "crystalformer_rl"
    files = {
        "__init__.py": "",
        "config.py": "LIMIT = 3\n",
        "stages/__init__.py": "",
        "stages/cook.py": '"""Cook."""\nfrom crystalformer_rl.food import soup\nimport json\n',
        "stages/eat.py": "from crystalformer_rl.config import LIMIT\n",
        "stages/order.py": 'NAME = "crystalformer_rl.food.soup"\n',
        "food/__init__.py": "",
        "food/soup.py": (
            "def stir():\n    from crystalformer_rl.food.salt import PINCH\n    return PINCH\n"
        ),
        "food/salt.py": 'PINCH = 1\nDATA = "salt.json"\n',
        "food/herbs.py": 'def read(name):\n    return f"{name}.safetensors"\n',
        "food/salt.json": "[1]",
        "food/dill.safetensors": "1",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(closure, "ROOT", root)
    forget()
    yield root
    forget()


def forget() -> None:
    for function in (closure._imports, closure._tree, closure._digest):
        function.cache_clear()


def fingerprint_after(path: Path, text: str, module: str = "stages.cook") -> tuple[str, str]:
    """Fingerprints before and after a file has a new text."""
    before = closure.fingerprint(f"crystalformer_rl.{module}")
    path.write_text(text)
    forget()
    return before, closure.fingerprint(f"crystalformer_rl.{module}")


@pytest.mark.usefixtures("package")
def test_imports_are_followed_into_functions_and_packages() -> None:
    found = closure.closure("crystalformer_rl.stages.cook")
    names = ["", ".food", ".food.salt", ".food.soup", ".stages.cook"]
    assert found == tuple(f"crystalformer_rl{name}" for name in names)


@pytest.mark.usefixtures("package")
def test_a_module_named_in_a_string_counts() -> None:
    assert "crystalformer_rl.food.soup" in closure.closure("crystalformer_rl.stages.order")


@pytest.mark.usefixtures("package")
def test_settings_are_left_out() -> None:
    assert "crystalformer_rl.config" not in closure.closure("crystalformer_rl.stages.eat")


@pytest.mark.parametrize("name", ["crystalformer_rl.nothing", "numpy", "crystalformer_rl.", ""])
def test_unknown_modules_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no such module"):
        closure.closure(name)


def test_code_far_down_changes_the_fingerprint(package: Path) -> None:
    before, after = fingerprint_after(package / "food/salt.py", 'PINCH = 2\nDATA = "salt.json"\n')
    assert before != after


@pytest.mark.parametrize(
    "text",
    [
        '"""Stock up."""\ndef stir():\n    """Stir."""\n'
        "    from crystalformer_rl.food.salt import PINCH\n    return PINCH\n",
        "# a remark\ndef stir():\n\n    from crystalformer_rl.food.salt import (\n"
        "        PINCH\n    )  # fine\n    return PINCH\n",
    ],
    ids=["docstring", "comment and layout"],
)
def test_words_and_layout_do_not(package: Path, text: str) -> None:
    before, after = fingerprint_after(package / "food/soup.py", text)
    assert before == after


def test_code_elsewhere_does_not(package: Path) -> None:
    before, after = fingerprint_after(package / "food/herbs.py", "GREEN = True\n")
    assert before == after


@pytest.mark.parametrize(
    ("file", "module"),
    [("food/salt.json", "stages.cook"), ("food/dill.safetensors", "food.herbs")],
    ids=["by its name", "by its suffix"],
)
def test_data_that_a_module_names_counts(package: Path, file: str, module: str) -> None:
    before, after = fingerprint_after(package / file, "[2]", module)
    assert before != after


def test_data_that_it_does_not_name_does_not(package: Path) -> None:
    before, after = fingerprint_after(package / "food/dill.safetensors", "2")
    assert before == after


def test_every_stage_of_the_package_has_a_fingerprint() -> None:
    stages = sorted(path.stem for path in (closure.ROOT / "stages").glob("[!_]*.py"))
    prints = {closure.fingerprint(f"crystalformer_rl.stages.{stage}") for stage in stages}
    assert len(prints) == len(stages)
