"""Fingerprints follow code and data, and nothing else."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from crystalformer_rl.config import CombineReward, EhullReward, FigureOfMeritReward, RewardSettings
from crystalformer_rl.config.fields import Section
from crystalformer_rl.config.potentials import POTENTIALS
from crystalformer_rl.config.rewards import REWARDS
from crystalformer_rl.jobs import fingerprint as closure

CONFIG = "crystalformer_rl.config"
ALLOWED = {
    "E_ABOVE_HULL": "its title for the report",
    "GUARDS": "titles for the report",
    "LONGEST_NAME": "limits what is accepted",
    "NAME": "limits what is accepted",
    "SYMBOLS": "the periodic table",
    "TEMPERATURES": "limits what is accepted",
    "canonical": "the text of settings, for a key",
    "explain": "the text of an error",
    "parse": "its answer is in the fingerprint",
    "title": "the title of a potential for the report",
}
"""What the counted code may take from ``config`` besides settings, and why it changes no number."""


WORDS = """
def add_arguments(parser):
    group = parser.add_argument_group("the meal")
    group.add_argument("--salt", type=int, default=1, metavar="GRAMS", help="how much")

def run(args):
    log.info("%d grams", args.salt)
    if not args.salt:
        raise ValueError("no salt")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of a few modules in place of the real one."""
    root = tmp_path / "crystalformer_rl"
    files = {
        "__init__.py": "",
        "config/__init__.py": "LIMIT = 3\n",
        "config/fields.py": "LARGEST = 3\n",
        "stages/__init__.py": "",
        "stages/cook.py": '"""Cook."""\nfrom crystalformer_rl.food import soup\nimport json\n',
        "stages/eat.py": "from crystalformer_rl.config.fields import LARGEST\n",
        "stages/order.py": WORDS,
        "potentials/mace.py": "HEAT = 1\n",
        "rewards/ehull.py": "from crystalformer_rl.food.salt import PINCH\n",
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
def test_only_the_chosen_potential_and_reward_count() -> None:
    module = "crystalformer_rl.stages.eat"
    found = closure.closure(module, reward=EhullReward(potential="mace:some.model"))
    added = {f"crystalformer_rl.{name}" for name in ("potentials.mace", "rewards.ehull")}
    assert added <= set(found)
    assert "crystalformer_rl.food.salt" in found
    assert not added & set(closure.closure(module))


@pytest.mark.usefixtures("package")
def test_settings_are_left_out_with_all_their_modules() -> None:
    found = closure.closure("crystalformer_rl.stages.eat")
    assert found == ("crystalformer_rl", "crystalformer_rl.stages.eat")


@pytest.mark.parametrize("name", ["crystalformer_rl.nothing", "numpy", "crystalformer_rl.", ""])
def test_unknown_modules_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no such module"):
        closure.closure(name)


def test_an_unknown_potential_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown potential 'nothing'"):
        closure.closure("crystalformer_rl.stages.relax", potential="nothing")


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


@pytest.mark.parametrize("words", ["the meal", "GRAMS", "how much", "%d grams"])
def test_help_and_log_texts_do_not(package: Path, words: str) -> None:
    text = WORDS.replace(words, f"{words}!")
    before, after = fingerprint_after(package / "stages/order.py", text, "stages.order")
    assert before == after


@pytest.mark.parametrize(
    ("old", "new"),
    [("default=1", "default=2"), ("if not", "if"), ("no salt", "no pepper")],
    ids=["the default of an argument", "a condition", "the text of an exception"],
)
def test_what_can_be_in_a_result_does(package: Path, old: str, new: str) -> None:
    text = WORDS.replace(old, new)
    before, after = fingerprint_after(package / "stages/order.py", text, "stages.order")
    assert before != after


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


STAGES = sorted(path.stem for path in (closure.ROOT / "stages").glob("[!_]*.py"))


def test_every_stage_of_the_package_has_a_fingerprint() -> None:
    prints = {closure.fingerprint(f"crystalformer_rl.stages.{stage}") for stage in STAGES}
    assert len(prints) == len(STAGES)


def names(
    stage: str, *, potential: str | None = None, reward: RewardSettings | None = None
) -> set[str]:
    """What counts for a stage of the real package, without the name of the package."""
    module = f"crystalformer_rl.stages.{stage}"
    found = closure.closure(module, potential=potential, reward=reward)
    return {name.removeprefix("crystalformer_rl.") for name in found}


def test_what_has_no_effect_exists_and_counts_for_no_stage() -> None:
    for name in closure.WITHOUT_EFFECT:
        assert closure._path(f"crystalformer_rl.{name}") is not None
    found = set().union(*(names(stage) for stage in STAGES))
    for name in closure.WITHOUT_EFFECT:
        assert not {one for one in found if one == name or one.startswith(f"{name}.")}


def test_what_can_change_a_number_counts() -> None:
    assert {"jobs.checkpoints", "jobs.loop", "jobs.parallel", "files", "seeds"} <= names("pretrain")
    assert {"jobs.pool", "crystal.wyckoff"} <= names("tokenize")
    assert {"jobs.journal", "potentials.lbfgs"} <= names("relax")
    assert {"training.ppo", "potentials.lbfgs"} <= names("rl")  # a reward may relax
    assert not {"training.ppo", "potentials.lbfgs"} & (names("pretrain") | names("sft"))


def test_the_public_interface_that_the_package_names_does_not_count() -> None:
    """The package imports it for type checkers only, and by name when it is used."""
    used = set().union(*(names(stage) for stage in STAGES))
    assert "crystalformer_rl" in used
    assert not {name for name in used if name.startswith("api")}


@pytest.mark.parametrize("stage", ["relax", "rl", "energies", "elements", "assess", "evaluate"])
def test_of_the_potentials_only_the_chosen_one_counts(stage: str) -> None:
    every = {f"potentials.{name}" for name in POTENTIALS}
    assert not names(stage) & every
    assert names(stage, potential="mace:some.model") & every == {"potentials.mace"}


def test_the_model_of_a_bare_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "crystalformer_rl.stages.relax"
    before = closure.fingerprint(module, potential="sevennet")
    assert before == closure.fingerprint(module, potential="sevennet:7net-0")
    newer = replace(POTENTIALS["sevennet"], default="7net-l3i5")
    monkeypatch.setitem(POTENTIALS, "sevennet", newer)  # type: ignore[arg-type]
    assert before != closure.fingerprint(module, potential="sevennet")


def test_of_the_rewards_only_the_chosen_one_counts() -> None:
    every = {"rewards.ehull", "rewards.figure_of_merit", "properties.ensemble"}
    assert not names("rl") & every
    assert names("rl", reward=EhullReward()) & every == {"rewards.ehull"}
    assert names("rl", reward=FigureOfMeritReward()) & every == every - {"rewards.ehull"}


def test_of_a_combination_every_part_and_its_potential_count() -> None:
    stable = EhullReward(potential="sevennet")
    parts = {"stable": {"reward": stable}, "rare": {"reward": {"kind": "diversity"}}}
    both = CombineReward(how="sum", parts=parts)
    every = {f"rewards.{kind}" for kind in REWARDS} | {f"potentials.{name}" for name in POTENTIALS}
    expected = {"rewards.combine", "rewards.ehull", "rewards.diversity", "potentials.sevennet"}
    assert names("rl", reward=both) & every == expected
    assert closure.used_potentials("chgnet", both) == ("chgnet", "sevennet")


def test_settings_bring_no_numbers_along_that_the_json_does_not_show() -> None:
    """``config`` is not counted: the code may take settings from it, and constants of no effect."""
    used = set().union(*(names(stage) for stage in STAGES))
    for name in used - {"crystalformer_rl"}:
        for node in ast.walk(closure._tree(f"crystalformer_rl.{name}")):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(CONFIG):
                for alias in node.names:
                    taken = getattr(import_module(str(node.module)), alias.name)
                    settings = isinstance(taken, type) and issubclass(taken, Section)
                    assert settings or alias.name in ALLOWED, f"{alias.name} in {name}"
