"""The journal: every line that was written whole counts, and no other."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.jobs.journal import Journal

KEY = {"settings": {"max_steps": 5}, "sample": "00ff"}
VALUES = {0: {"energy": 0.1 + 0.2, "error": None}, 7: {"energy": -1e-300, "error": "a\nb é"}}


def written(path: Path) -> Path:
    journal = Journal(path, key=KEY)
    for item, value in VALUES.items():
        journal.append(item, value)
    return path


def test_what_was_written_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "a folder" / "shard-0000.journal")
    assert Journal(path, key=KEY).found == VALUES
    assert not caplog.records


def test_no_file_is_an_empty_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", key=KEY)
    assert journal.found == {}
    assert list(tmp_path.iterdir()) == []


@given(st.data())
def test_cut_anywhere_and_continued(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = written(Path(folder) / "journal")
        content = path.read_bytes()
        ends = [content.index(b"\n", 1), len(content)]
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        journal = Journal(path, key=KEY)
        expected = {
            item: VALUES[item] for item, end in zip(VALUES, ends, strict=True) if cut >= end
        }
        assert journal.found == expected
        journal.append(3, "after")
        assert Journal(path, key=KEY).found == expected | {3: "after"}


@given(st.data())
def test_a_changed_byte_costs_its_line(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = written(Path(folder) / "journal")
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(1, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        found = Journal(path, key=KEY).found
        assert len(found) <= 1
        assert all(VALUES[item] == value for item, value in found.items())


@pytest.mark.parametrize("key", [{}, KEY | {"sample": "00fe"}, KEY | {"device": "cuda"}])
def test_other_settings_or_inputs(
    tmp_path: Path, key: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "journal")
    with caplog.at_level(logging.WARNING):
        journal = Journal(path, key=key)
    assert journal.found == {}
    assert f"journal {path}: ignoring 2 of 2 lines" in caplog.text
    journal.append(0, "mine")
    assert Journal(path, key=key).found == {0: "mine"}
    assert Journal(path, key=KEY).found == VALUES


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, key=KEY)
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"journal {path}: cannot be written: .*No space left"):
        journal.append(0, "a value")
