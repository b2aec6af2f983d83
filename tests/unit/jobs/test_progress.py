"""The progress helper passes items through and says how it went in the log."""

import logging

import pytest

from crystalformer_rl.jobs import progress as module
from crystalformer_rl.jobs.progress import Progress, duration, progress, without_bars


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


def test_what_was_done_before_does_not_count_for_the_rate(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", -1.0)
    clock = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), Progress("relax", 8, done=4) as done:
        done.update(2)
    assert caplog.messages == ["relax: 6 of 8 in 10 s, 10 s left", "relax: 6 done in 20 s"]


def test_work_that_fails_is_not_said_to_be_done(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(ValueError), Progress("relax", 2):
        raise ValueError
    assert caplog.messages == []


def test_without_bars_none_is_made(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar takes a semaphore, of which Python warns if its process is killed."""
    monkeypatch.setattr(module, "tqdm", None)
    with caplog.at_level(logging.INFO), without_bars():
        assert list(progress([1, 2], label="numbers")) == [1, 2]
    assert caplog.messages[-1].startswith("numbers: 2 done in")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (2.34, "2.3 s"), (59, "59 s"), (75, "1 min 15 s"), (3600, "1 h 0 min"),
     (7530, "2 h 6 min"), (200000, "2 d 8 h")],
)  # fmt: skip
def test_durations_are_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
