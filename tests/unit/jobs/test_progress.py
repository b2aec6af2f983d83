"""The progress helper passes items through and says how it went in the log."""

import logging

import pytest

from crystalformer_rl.jobs import progress as module
from crystalformer_rl.jobs.progress import progress


def test_items_pass_through_in_order(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(progress(iter("abc"), label="letters")) == ["a", "b", "c"]
    assert caplog.messages[-1].startswith("letters: 3 done in")


def test_a_line_for_every_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", -1.0)
    with caplog.at_level(logging.INFO):
        list(progress([1, 2], label="numbers"))
        list(progress(iter([1]), label="unknown"))
    assert caplog.messages[0].startswith("numbers: 1 of 2 in")
    assert caplog.messages[3].startswith("unknown: 1 in")
