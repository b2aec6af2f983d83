"""Nulls that are to remove a branch or a source, and remove none."""

import pytest

from crystalformer_rl.config.removals import idle_removals

CONFIG = "rl: {ehull: {tau: 1}, mine: {tau: 2}}\ndataset: {sources: {all: a.csv}}\n"


@pytest.mark.parametrize(
    "overlay",
    [
        "rl: {ehull: null, mine: null}",
        "rl: {fom: null}",  # a branch of the defaults
        "rl: null",
        "dataset: {sources: {all: null, train: t, val: v, test: x}}",
        "dataset: {limit: null}",
        "rl: [",
        "",
    ],
)
def test_removals_that_are_in_order(overlay: str) -> None:
    assert idle_removals({"config.yaml": CONFIG, "overlay.yaml": overlay}) == []


@pytest.mark.parametrize(
    ("overlay", "line"),
    [
        ("rl: {ehul: null}", "rl.ehul: null removes nothing; there are ehull, fom, mine"),
        (
            "dataset: {sources: {al: null}}",
            "dataset.sources.al: null removes nothing; there are all, test, train, val",
        ),
    ],
)
def test_a_misspelt_removal_is_named(overlay: str, line: str) -> None:
    assert idle_removals({"config.yaml": CONFIG, "overlay.yaml": overlay}) == [
        f"overlay.yaml: {line}"
    ]
