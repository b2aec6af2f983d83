"""Settings: what is refused, in which words; the text that decides about a rerun."""

import datetime
import json
import math
import shlex
import string
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from ase.data import chemical_symbols
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from crystalformer_rl.config import (
    SYMBOLS,
    Config,
    FigureOfMeritReward,
    RelaxSettings,
    RLSettings,
    SampleSettings,
    canonical,
    fields,
    read,
)
from crystalformer_rl.config.fields import Neutral, Section

UNIFORM = {"space_group_weights": "uniform"}
NAMED = {"space_groups": [225]}


def test_the_defaults_are_valid() -> None:
    config = read({})
    assert config == Config()
    assert list(config.rl) == ["ehull", "fom"]
    assert isinstance(config.rl["fom"].reward, FigureOfMeritReward)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"rl": {"a": {"tua": 1}}}, r"^rl\.a\.tua: unknown key \(did you mean tau\?\); allowed"),
        ({"rl": {"a": {"reward": {"kind": "ehull", "x": 1}}}}, r"^rl\.a\.reward\.x: unknown key;"),
        (
            {"rl": {"a": {"reward": {"kind": "x"}}}},
            r"^rl\.a\.reward: unknown kind 'x'; allowed are ehull, figure_of_merit",
        ),
        ({"rl": {"a b": {}}}, r"^rl\.a b = "),
        ({"rl": {"a": {"reward": {"floor": 4.0}}}}, r"^rl\.a\.reward.*"),
        ({"pretrain": {"epochs": 1.5}}, r"^pretrain\.epochs = 1\.5: input should be a valid int"),
        ({"sample": {"space_groups": [1, 231]}}, r"^sample\.space_groups\.1 = 231: .*equal to 230"),
        (
            {"hull": {"potential": "none"}},
            r"^hull\.potential: unknown potential 'none': allowed are",
        ),
        ({"model": {"key_size": 15}}, r"^model: key_size must be even .*got 15"),
        ({"dataset": {"sources": {}}}, r"^dataset: sources has none: give either"),
        ({"dataset": {"sources": {"all": "a", "train": "b"}}}, r"^dataset: sources has all, train"),
        ({"sample": {"count": 1}}, r"^sample\.count = 1 must be a multiple"),
        (
            {"judge": {"potential": "chgnet"}},
            r"^judge\.potential = chgnet is hull\.potential, which the rewards saw",
        ),
        ({"judge": {"potential": "none"}}, r"^judge\.potential: unknown potential 'none'"),
        ({"external": {"rl-x": "a"}}, r"^external\.rl-x: base, sft and what begins with rl-"),
        ({"external": {"a": "-x"}}, r"^external\.a: invalid path '-x'"),
        ({"run": "../x"}, r"^run = \"\.\./x\""),
        ({"report": None}, r"^report = null"),
        (
            {"run": "a b; $(rm -r x)"},
            r"^run = .*: a name becomes a folder: use at most 64 letters,",
        ),
        ({"run": "it's"}, r"^run = .*: a name becomes a folder"),
        ({"run": "-n"}, r"^run = .*: a name becomes a folder"),
        ({"run": ".."}, r"^run = .*: a name becomes a folder"),
        ({"run": "a\n"}, r"^run = .*: a name becomes a folder"),
        ({"run": "x" * 65}, r"^run = .*: a name becomes a folder: use at most 64"),
        ({"rl": {"$(rm)": {}}}, r"^rl\.\$\(rm\) = .*: a name becomes a folder"),
        ({"base_policy": "--out"}, r"^base_policy: invalid path '--out': .* begin with `-`"),
        ({"dataset": {"sources": {"all": "a{b}.csv"}}}, r"^dataset\.sources\.all: invalid path"),
        ({"hull": {"potential": "mace:-x"}}, r"^hull\.potential: invalid path '-x'"),
        (
            {"hull": {"potential": "mace:a\nb"}},
            r"^hull\.potential: invalid path .*line breaks",
        ),
        (
            {"relax": {"max_forse": 0.1}},
            r"^relax\.max_forse: .*\(did you mean max_force\?\)",
        ),
        (
            {"relax": {"max_force": "small"}},
            r"^relax\.max_force = \"small\": .* a valid number",
        ),
        (
            {"relax": {"max_force": "-1"}},
            r"^relax\.max_force = \"-1\": .* be greater than 0",
        ),
        ({"rl": {"a": {"rounds": "0"}}}, r"^rl\.a\.rounds = \"0\": .* greater than or equal to 1"),
        (
            {"tokenize": {"max_sites": 21}},
            r"^model\.max_sites = 21 must exceed tokenize\.max_sites = 21",
        ),
        (
            {"dataset": {"sources": {"train": "a.csv"}}},
            r"^dataset: .*give either `all` alone or each of train, val and test",
        ),
        (
            {"hull": {"potential": "orb"}},
            r"^hull\.potential: 'orb' lacks its model: write orb:MODEL_OR_PATH",
        ),
        (
            {"hull": {"reference": "csv"}},
            r"^hull: files has 0 .*reference 'csv' takes at least one",
        ),
        ({"comparison_hull": {"files": ["-rf"]}}, r"^comparison_hull\.files\.0: invalid path"),
        (
            {"rl": {"a": {"dpo": {"beta": 1.0}}}},
            r"^rl\.a: dpo is for algorithm: dpo, but this is ppo",
        ),
        (
            {"rl": {"a": {"algorithm": "dpo", "dpo": {"betta": 1.0}}}},
            r"^rl\.a\.dpo\.betta: unknown key \(did you mean beta\?\)",
        ),
        (
            {"rl": {"a": {"algorithm": "sft", "sft": {"samples": 51}}}},
            r"^rl\.a\.sft\.samples = 51 must be a multiple of sample\.shard_size = 100",
        ),
        (
            {"rl": {"a": {"algorithm": "sft", "rounds": 3}, "a-round-2": {}}},
            r"^rl\.a-round-2 has the name of a policy between the rounds of rl\.a",
        ),
        ({"relx": {"max_force": 1}}, r"^relx: unknown key \(did you mean relax\?\)"),
        ({"nonsense": 1}, r"^nonsense: unknown key; allowed here: run, seed, base_policy"),
    ],
)
def test_a_mistake_names_its_key_and_what_is_allowed(raw: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(raw)


def test_an_algorithm_brings_its_section_which_counts_for_reruns() -> None:
    ppo, dpo, sft = (RLSettings(algorithm=name) for name in ("ppo", "dpo", "sft"))
    assert (ppo.dpo, ppo.sft, dpo.sft, sft.dpo) == (None,) * 4
    assert {"dpo", "sft"}.isdisjoint(json.loads(canonical(ppo)))
    assert json.loads(canonical(dpo))["dpo"]["beta"] == 0.1
    assert json.loads(canonical(sft))["sft"]["weights"] == "previous"
    assert RLSettings.model_validate_json(canonical(dpo)) == dpo


def test_iterated_sft_needs_no_reward_and_so_no_potential_of_it() -> None:
    own = {"potential": "sevennet"}
    others = {"hull": own, "relax": own, "judge": {"potential": None}}
    config = read({**others, "rl": {"a": {"algorithm": "sft"}}})
    assert config.rewarded == {}
    with pytest.raises(ValueError, match=r"rl\.a\.reward\.potential = chgnet must be hull"):
        read({**others, "rl": {"a": {"algorithm": "dpo"}}})


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, "inf", "nan"])
@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("relax.max_force", lambda value: {"relax": {"max_force": value}}),
        ("pretrain.epochs", lambda value: {"pretrain": {"epochs": value}}),
        ("rl.fom.tau", lambda value: {"rl": {"fom": {"tau": value}}}),
    ],
)
def test_numbers_are_finite(
    path: str, raw: Callable[[object], dict[str, object]], value: object
) -> None:
    with pytest.raises(ValueError, match=rf"^{path} = .*(finite|valid integer)"):
        read(raw(value))


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ({"seed": True}, "^seed must be a number, but YAML reads it as true or false"),
        ({"sample": {"count": False}}, "^sample: count must be a number"),
        ({"sample": {"space_groups": [225, True]}}, "^sample: space_groups must be a number"),
        ({"rl": {"fom": {"reward": {"kind": "ehull", "scale": True}}}}, "reward: scale must be a"),
        ({"hull": {"min_references": False}}, "^hull: min_references must be a number"),
    ],
)
def test_true_and_false_are_no_numbers(raw: dict[str, object], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read(raw)
    assert read({"jobs": {"tensorboard": 1}}).jobs.tensorboard


def test_a_date_is_a_name_and_a_number_must_be_quoted() -> None:
    day = datetime.date(2026, 11, 28)
    config = read({"run": day, "rl": {day: {}}})
    assert (config.run, list(config.rl)) == ("2026-11-28", ["2026-11-28"])
    for value in (20261128, 1e5, False, datetime.datetime(2026, 11, 28, 10)):
        with pytest.raises(ValueError, match=r"^run = .*: put it in quotes"):
            read({"run": value})


def test_every_mistake_has_a_line() -> None:
    with pytest.raises(ValueError, match="seed") as error:
        read({"seed": -1, "relax": {"max_steps": -1}, "hull": {"extra": 0}})
    assert len(str(error.value).splitlines()) == 3


def test_null_takes_away_a_source_and_a_branch() -> None:
    sources = {"all": None, "train": "a", "val": "b", "test": "c"}
    config = read({"dataset": {"sources": sources}, "rl": {"ehull": None, "fom": {}}})
    assert set(config.dataset.sources) == {"train", "val", "test"}
    assert list(config.rl) == ["fom"]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 3  # type: ignore[misc]


@given(st.permutations(list(RelaxSettings().model_dump().items())))
def test_the_order_of_keys_does_not_matter(items: list[tuple[str, object]]) -> None:
    section = RelaxSettings.model_validate(dict(items))
    assert canonical(section) == canonical(RelaxSettings())


@given(st.floats(min_value=1e-6, max_value=10.0, exclude_min=True))
def test_another_value_is_another_text_and_survives_the_way(force: float) -> None:
    section = RelaxSettings(max_force=force)
    assert RelaxSettings.model_validate_json(canonical(section)) == section
    assert (canonical(section) == canonical(RelaxSettings())) == (force == 0.1)


def test_keys_that_only_add_jobs_can_be_left_out() -> None:
    more, fewer = RLSettings(rounds=3), RLSettings(rounds=1)
    assert canonical(more, without=["rounds"]) == canonical(fewer, without=["rounds"])
    assert canonical(more) != canonical(fewer)
    assert "count" not in json.loads(canonical(SampleSettings(), without=["count"]))


class OldSection(Section):
    """A section before a key was added."""

    kept: float = 1.0


class Inner(Section):
    """A section with one key that was added and changes nothing at 0."""

    noise: Annotated[float, Neutral(0.0)] = 0.0


class NewSection(OldSection):
    """The same with keys that were added, one of them a section."""

    inner: Annotated[Inner, Neutral(Inner())] = Inner()
    other: Inner = Inner()
    limit: Annotated[int | None, Neutral(None)] = None
    inners: dict[str, Inner] = Field(default_factory=lambda: {"a": Inner()})


class LaterSection(OldSection):
    """The same after the default of the added key was changed."""

    limit: Annotated[int | None, Neutral(None)] = 5


def test_an_added_key_with_its_neutral_value_changes_no_text() -> None:
    assert json.loads(canonical(NewSection())) == {"kept": 1.0, "other": {}, "inners": {"a": {}}}
    without = canonical(NewSection(), without=["other", "inners"])
    assert without == canonical(OldSection())


@pytest.mark.parametrize(
    "section",
    [
        NewSection(limit=5),
        NewSection(inner=Inner(noise=1.0)),
        NewSection(other=Inner(noise=1.0)),
        NewSection(inners={"a": Inner(noise=1.0)}),
    ],
)
def test_an_added_key_with_another_value_does(section: NewSection) -> None:
    assert canonical(section) != canonical(NewSection())
    assert NewSection.model_validate_json(canonical(section)) == section


@pytest.mark.parametrize("limit", [None, 5])
def test_a_changed_default_of_an_added_key_is_written_out(limit: int | None) -> None:
    section = LaterSection(limit=limit)
    assert canonical(section) != canonical(OldSection())
    assert LaterSection.model_validate_json(canonical(section)) == section


def test_every_default_without_that_mark_is_written_out() -> None:
    relax = Config().relax
    assert canonical(relax) == json.dumps(relax.model_dump(mode="json"), sort_keys=True)


def test_null_may_be_text() -> None:
    """As ``snakemake --config 'judge={potential: null}'`` gives it."""
    found = read({"judge": {"potential": "null"}, "rl": {"fom": "null", "ehull": {}}})
    assert found.judge.potential is None
    assert list(found.rl) == ["ehull"]


def test_the_default_model_of_a_potential_is_the_same_setting() -> None:
    same = {"potential": "sevennet:7net-0"}
    found = read({"hull": same, "relax": same, "judge": {"potential": "chgnet"}, "rl": {}})
    assert found.hull.potential == "sevennet"


@pytest.mark.parametrize("spec", ["emt", "chgnet:x", "orb", "orb: ", ""])
def test_an_invalid_potential_names_its_key(spec: str) -> None:
    with pytest.raises(ValueError, match=rf"^hull\.potential: .*'{spec}'"):
        read({"hull": {"potential": spec}})


def test_a_reward_of_code_needs_trust() -> None:
    raw = {"rl": {"mine": {"reward": {"kind": "file", "path": "mine.py"}}}}
    with pytest.raises(ValueError, match=r"^rl\.mine\.reward = mine\.py .*`trust_code: true`"):
        read(raw)
    assert read(raw | {"jobs": {"trust_code": True}}).rl["mine"].reward.files == ["mine.py"]


def test_a_reward_without_a_potential_fits_every_hull() -> None:
    mine = {"mine": {"reward": {"kind": "file", "path": "mine.py"}}}
    raw = {"jobs": {"trust_code": True}, "hull": {"potential": "sevennet"}, "rl": mine}
    raw |= {"relax": {"potential": "sevennet"}, "judge": {"potential": None}}
    assert read(raw).rl["mine"].reward.potential_used is None


def test_energies_of_two_potentials_do_not_mix() -> None:
    with pytest.raises(ValueError, match=r"relax\.potential = chgnet must be hull\.potential"):
        read({"hull": {"potential": "sevennet"}, "rl": {}})


@pytest.mark.parametrize(
    ("raw", "sections"),
    [
        ({}, ["sample", "rl.ehull", "rl.fom"]),
        ({"sample": UNIFORM}, ["rl.ehull", "rl.fom"]),
        ({"sample": NAMED, "rl": {"a": UNIFORM, "b": {}, "c": NAMED}}, ["rl.b"]),
        ({"sample": NAMED, "rl": {"a": UNIFORM}}, []),
        ({"sample": UNIFORM, "rl": {}}, []),
    ],
)
def test_sections_that_sample_by_the_histogram(raw: dict[str, object], sections: list[str]) -> None:
    assert read(raw).by_histogram == sections


def test_symbols_are_those_of_ase() -> None:
    assert list(SYMBOLS) == chemical_symbols[1:]


@given(st.text() | st.from_regex(fields.NAME))
def test_a_name_that_is_accepted_means_nothing_to_a_shell_or_a_folder(name: str) -> None:
    """Nor to Snakemake, to which braces are wildcards."""
    try:
        run = read({"run": name}).run
    except ValueError:
        return
    assert shlex.quote(run) == run
    assert set(run) <= set(string.ascii_letters + string.digits + "_.-")
    assert Path(f"results/{run}").resolve().parent == Path("results").resolve()
    assert run[0] not in ".-"
    assert len(run) <= 64
    assert list(read({"rl": {run: {}}}).rl) == [run]


@given(st.text())
def test_a_path_that_is_accepted_is_one_word_of_one_line(path: str) -> None:
    try:
        source = read({"dataset": {"sources": {"all": path}}}).dataset.sources["all"]
    except ValueError:
        return
    assert shlex.split(shlex.quote(source)) == [source]
    assert source.splitlines() == [source]
    assert not source.startswith("-")
