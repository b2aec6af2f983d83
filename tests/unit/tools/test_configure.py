"""Generated files: config.yaml, the schema, the table of keys."""

import argparse
from pathlib import Path

import jsonschema
import pytest
import yaml

from crystalformer_rl.config import Config, read
from crystalformer_rl.tools import configure

TABLE = "docs/reference/config.md"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with generated files."""
    for page, (name, _) in configure.GENERATED.items():
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        first, last = configure.START.format(name=name), configure.END.format(name=name)
        (tmp_path / page).write_text(f"# Mine\n{first}old\n{last}after\n")
    generate(tmp_path)
    return tmp_path


def generate(root: Path, *, check: bool = False, defaults: bool = False) -> None:
    configure.run(argparse.Namespace(root=root, check=check, defaults=defaults))


def test_what_is_generated_is_in_step_and_says_the_defaults(root: Path) -> None:
    generate(root, check=True)
    assert read(yaml.safe_load((root / "config.yaml").read_text())) == Config()
    page = (root / TABLE).read_text()
    assert page.startswith("# Mine\n")
    assert page.endswith("after\n")
    assert "`rl.NAME.reward (ehull).floor`" in page


def test_every_key_of_the_models_is_in_the_file_and_in_the_table(root: Path) -> None:
    def paths(value: object, prefix: str = "") -> list[str]:
        if not isinstance(value, dict):
            return [prefix]
        return [path for key in value for path in paths(value[key], f"{prefix}.{key}".strip("."))]

    text = (root / "config.yaml").read_text()
    written = paths(yaml.safe_load(text))
    expected = paths(Config().model_dump(mode="json"))
    by_preset = set(expected) - set(written)
    assert [path for path in written if not path.endswith(".preset")] == [
        path for path in expected if path not in by_preset
    ]
    for path in by_preset:
        assert path.startswith("rl.")
        assert f"# `{path.rpartition('.')[2]}`: " in text


def test_a_key_of_a_preset_is_written_where_the_user_set_it() -> None:
    config = read({"rl": {"a": {}, "b": {"tau": 0.05, "reward": {"kind": "ehull", "floor": -1.0}}}})
    written = yaml.safe_load(configure.render_config(config))["rl"]
    assert "tau" not in written["a"]
    assert written["b"]["tau"] == 0.05
    assert "floor" not in written["a"]["reward"]
    assert written["b"]["reward"]["floor"] == -1.0
    assert read({"rl": written}).rl == config.rl
    paper = {name: branch | {"preset": "paper"} for name, branch in written.items()}
    assert read({"rl": paper}).rl["a"].tau == 0.1
    assert read({"rl": paper}).rl["b"].tau == 0.05


def test_a_key_of_a_preset_in_a_part_of_a_reward_is_written_where_it_was_set() -> None:
    parts = {"stable": {"reward": {"kind": "ehull", "floor": -1.0}}}
    reward = {"kind": "combine", "how": "sum", "parts": parts}
    config = read({"rl": {"both": {"reward": reward}}})
    written = yaml.safe_load(configure.render_config(config))["rl"]
    stable = written["both"]["reward"]["parts"]["stable"]["reward"]
    assert stable["floor"] == -1.0
    assert {"ceiling", "shape", "guards"}.isdisjoint(stable)
    assert read({"rl": written}).rl == config.rl
    paper = read({"rl": {"both": written["both"] | {"preset": "paper"}}})
    assert paper.rl["both"].reward.parts["stable"].reward.shape == "linear"


def test_lines_fit(root: Path) -> None:
    lines = (root / "config.yaml").read_text().splitlines()
    assert max(map(len, lines)) <= configure.WIDTH


def test_values_and_remarks_of_a_user_stay(root: Path) -> None:
    path = root / "config.yaml"
    path.write_text(
        path.read_text().replace("max_force: 0.1", "max_force: 0.03  # tight") + "# x\n"
    )
    generate(root, check=True)
    generate(root)
    assert "max_force: 0.03" in path.read_text()
    generate(root, defaults=True)
    assert "max_force: 0.1" in path.read_text()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("config.yaml", "  max_force: 0.1\n", ""),
        ("config.yaml", "# Transformer blocks.", "# Blocks."),
        (TABLE, "Transformer blocks", "Blocks"),
        ("docs/reference/verbs.md", "`--policy`", "`--polite`"),
        ("workflow/schemas/config.schema.yaml", "max_force", "max_farce"),
        ("docs/reference/columns.md", "`e_above_hull`", "`e_above_hulk`"),
    ],
)
def test_what_is_out_of_step_is_named(root: Path, file: str, old: str, new: str) -> None:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match="out of date") as error:
        generate(root, check=True)
    assert file in str(error.value)


def test_the_schema_agrees_with_the_models(root: Path) -> None:
    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text())
    jsonschema.validate(Config().model_dump(mode="json"), schema)
    for bad in ({"seed": -1}, {"x": 1}, {"rl": {"a": {"reward": {"kind": "b"}}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


def test_a_page_without_the_marks(root: Path) -> None:
    (root / TABLE).write_text("nothing")
    with pytest.raises(ValueError, match=r"config\.md: the lines"):
        generate(root)
