"""The page as a whole: its content, that it is complete in itself, that it never changes."""

import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from helpers import synthetic

from crystalformer_rl.config import (
    Config,
    FigureOfMeritReward,
    RelaxSettings,
    RLSettings,
)
from crystalformer_rl.evaluation.diversity import TrainingSet
from crystalformer_rl.evaluation.sun import summarise
from crystalformer_rl.report.page import Report, build
from crystalformer_rl.report.run import Run

SECTIONS = (
    "summary", "policies", "diversity", "energies", "reinforcement", "training", "space-groups",
    "properties", "best", "structures", "failures", "reading", "provenance",
)  # fmt: skip
WITHOUT_TRAINING = set(SECTIONS) - {"reinforcement", "training"}
VOID = {"meta", "link", "br", "img", "input"}


class Page(HTMLParser):
    """Ids, links and resources of a page; checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.resources: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            elif name == "href" and tag == "a":
                self.links.append(str(value))
            elif name in {"src", "href", "data", "poster", "srcset", "action"}:
                self.resources.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _build(table: pd.DataFrame, config: Config | None = None, **more: object) -> Report:
    return build(synthetic.run(table, config=config, **more))


def test_page_has_every_section_and_no_id_twice(run_of_four: Report) -> None:
    page = Page(run_of_four.html)
    assert set(SECTIONS) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    inner = [link[1:] for link in page.links if link.startswith("#")]
    assert set(SECTIONS) <= set(inner) <= set(page.ids)


def test_page_loads_nothing(run_of_four: Report) -> None:
    page = Page(run_of_four.html)
    assert all(part.startswith(("#", "data:")) for part in page.resources)
    outside = [link for link in page.links if not link.startswith(("#", "data:"))]
    assert set(outside) == {"https://arxiv.org/abs/2504.02367"}
    assert not re.search(r"@import|url\((?!#|&quot;#)", run_of_four.html)
    assert len(run_of_four.html) < 2_000_000


@pytest.mark.slow
def test_same_run_gives_the_same_bytes(run_of_four: Report, build_again) -> None:
    again = build_again()
    assert again.html == run_of_four.html
    svgs = [{name: one.svg() for name, one in r.figures.items()} for r in (again, run_of_four)]
    assert svgs[0] == svgs[1]


def test_references_within_figures_resolve(run_of_four: Report) -> None:
    ids = set(Page(run_of_four.html).ids)
    assert set(re.findall(r"url\(#([^)]+)\)", run_of_four.html)) <= ids
    assert set(re.findall(r'<use [^>]*href="#([^"]+)"', run_of_four.html)) <= ids


def test_markup_in_settings_is_shown_and_not_obeyed(run_of_four: Report) -> None:
    assert '<b>"today"</b>' not in run_of_four.html
    assert 'Run of <b>"today"</b> & $tomorrow' in "".join(Page(run_of_four.html).words)
    assert "<b>bold</b>" not in run_of_four.html


def test_stand_alone_figures_are_svg_without_dates(run_of_four: Report) -> None:
    assert {"funnel", "ehull-histograms", "rl-overview", "best-sun-1"} <= set(run_of_four.figures)
    for drawing in run_of_four.figures.values():
        svg = drawing.svg()
        assert svg.startswith("<svg")
        assert 'xmlns="http://www.w3.org/2000/svg"' in svg
        assert "<metadata>" not in svg


def test_tables_hold_the_numbers_of_the_page(run_of_four: Report) -> None:
    policies = run_of_four.tables["policies"]
    sun = policies[(policies.policy == "base") & (policies.quantity == "sun")].iloc[0]
    assert f"{int(sun.k)}/12" in run_of_four.html
    funnel = run_of_four.tables["funnel"]
    assert funnel[(funnel.policy == "base") & (funnel.step == "novel")]["count"].item() == sun.k
    assert run_of_four.tables["history-rl-ehull"]["step"].tolist() == list(range(1, 25))
    assert len(run_of_four.tables["jobs"]) == 3


@pytest.mark.parametrize("kind", ["nothing decoded", "nothing stable", "one structure", "empty"])
def test_poor_runs_still_give_a_page(kind: str) -> None:
    table = synthetic.structures({"base": 1 if kind == "one structure" else 6})
    if kind == "nothing stable":
        table = table.assign(stable=False, stable_unique=False, sun=False)
    elif kind == "nothing decoded":
        flags = [name for name in table if table[name].dtype == bool]
        table[flags] = False
        for name in set(table) - {"id", "policy", "space_group", *flags}:
            table[name] = pd.Series([None] * len(table), dtype=object)
        table["failure"] = "decode: no lattice of volume 0.0"
    elif kind == "empty":
        table = table.head(0)
    report = _build(table)
    assert set(Page(report.html).ids) >= WITHOUT_TRAINING
    assert "reinforcement" not in Page(report.html).ids
    if kind != "one structure":
        assert "There is none." in report.html
    assert ">nan<" not in report.html


def test_a_policy_without_a_structure_is_shown_with_none() -> None:
    table = synthetic.structures({"sft": 3})
    summary = summarise(table, policies=["base", "sft"])
    assert summary["policies"]["base"]["fractions"]["sun"]["fraction"] is None
    report = build(Run(table, summary, Config(), {}, {}))
    assert set(Page(report.html).ids) >= WITHOUT_TRAINING
    assert not re.search(r"\bnan\b", " ".join(Page(report.html).words))


def test_missing_optional_columns_are_shown_as_absent() -> None:
    table = synthetic.structures({"base": 5})
    summary = summarise(table)
    keep = ["id", "policy", "space_group", "formula", "decoded"]
    report = build(Run(table[keep], summary, Config(), {}, {}))
    assert set(Page(report.html).ids) >= WITHOUT_TRAINING


def test_diversity_and_both_tolerances_are_shown() -> None:
    table = synthetic.structures({"base": 12}).assign(decoded=True, prototype="225 ab")
    table["formula"] = "NaCl"
    training = TrainingSet(4, {225: 4}, {"225 ab": 3, "2 i": 1}, {"Na": 4, "Cl": 2, "Mg": 2})
    summary = summarise(table, training=training)
    report = build(Run(table, summary, Config(), {}, {}))
    assert "2/3 = 66.7\u202f%" in report.html
    assert "1/2 = 50.0\u202f%" in report.html
    assert "ltol 0.2, stol 0.3, angle_tol 5°" in report.html
    assert "ltol 0.1, stol 0.15, angle_tol 3°" in report.html


@pytest.mark.slow
def test_odd_branch_names_and_empty_histories_do_not_break_the_page() -> None:
    config = Config(rl={"a.b-c": RLSettings(reward=FigureOfMeritReward())})
    table = synthetic.structures({"base": 3, "rl-a.b-c": 3})
    history = {"rl-a.b-c": [synthetic.round_history(1, steps=80)], "rl-no": [], "sft": []}
    report = _build(table, config, histories=history)
    ids = Page(report.html).ids
    assert "figure-details-rl-a.b-c" in ids
    assert "figure-details-rl-no" not in ids


def test_a_page_of_other_crystals_has_no_empty_sections() -> None:
    """As the verb ``judge`` writes it with ``--quick``."""
    config = Config(rl={}, external={"theirs": "a.extxyz"}, relax=RelaxSettings(max_steps=0))
    page = Page(_build(synthetic.structures({"theirs": 3}), config).html)
    assert not {"reinforcement", "training", "paper"} & set(page.ids)
    text = " ".join(page.words)
    assert "not relaxed, energies by CHGNet" in text
    assert "relaxed with" not in text
    assert "Grey band" not in text
    assert "What this run shows" not in text
