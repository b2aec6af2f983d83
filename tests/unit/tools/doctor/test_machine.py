"""Python, packages, room and permissions of the machine that runs the tests."""

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from crystalformer_rl.config import read
from crystalformer_rl.tools.doctor import machine


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_python() -> None:
    assert machine.python().status == "ok"
    assert machine.python((3, 10, 4)).status == "problem"


def test_packages(tmp_path: Path) -> None:
    numpy = metadata.version("numpy")
    file = tmp_path / "requirements.txt"
    file.write_text(f"# pins\n-r other.txt\nnumpy=={numpy}\nscipy==0.0.1\nnobody-has-this==1.0\n")
    scipy, absent, summary = machine.packages(file)
    assert (scipy.topic, scipy.status) == ("package scipy", "warning")
    assert "0.0.1 was tested" in scipy.found
    assert (absent.status, absent.found) == ("problem", "not installed; 1.0 is needed")
    assert f"-m pip install -r {file}" in absent.change
    assert summary.found == f"1 of 3 as in {file}"


def test_packages_elsewhere_than_in_the_repository(tmp_path: Path) -> None:
    (found,) = machine.packages(tmp_path / "requirements.txt")
    assert (found.status, found.change) == ("problem", "cd to the folder of the repository")


def test_gpus_are_counted() -> None:
    first, *each = machine.gpus(jobs_want_gpus=False)
    assert first.topic == "torch"
    assert [finding.topic for finding in each] == [f"GPU {i}" for i in range(len(each))]


def test_a_missing_compiler_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(machine.compiler(jobs_want_gpus=False)) or machine.DRIVER.is_file()
    monkeypatch.setenv("CC", "no-such-compiler")
    (found,) = machine.compiler(jobs_want_gpus=True)
    assert found.status == "warning"
    assert "lacks a C compiler (no-such-compiler)" in found.found


def test_room_grows_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = machine.estimate(read({}))
    more = machine.estimate(read({"sample": {"count": 1_000_000, "shard_size": 50}}))
    assert more - small > 1_000_000 * machine.PER_SAMPLE
    (tmp_path / "all.csv.xz").write_bytes(b"x" * 1000)
    with_source = machine.estimate(read({"dataset": {"sources": {"all": "all.csv.xz"}}}))
    assert with_source - small == 1000 * machine.PER_PACKED_BYTE


def test_too_little_room_is_a_problem(tmp_path: Path) -> None:
    assert machine.disk(tmp_path / "results", read({})).status == "ok"
    huge = read({"sample": {"count": 10**15, "shard_size": 50}})
    found = machine.disk(tmp_path / "results", huge)
    assert found.status == "problem"
    assert "GB needed" in found.found


def test_a_folder_of_a_group_and_a_umask_of_one(tmp_path: Path, umask: None) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    own, of_group = machine.permissions([tmp_path / "not/yet", shared])
    assert own.status == "ok"
    assert "umask 022" in of_group.found
    assert of_group.status == "warning"
    assert of_group.change.startswith("umask 002")
    os.umask(0o002)
    (found,) = machine.permissions([shared])
    assert found.status == "ok"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_user_without_a_name() -> None:
    """Snakemake takes the name from LOGNAME first."""
    assert list(machine.user()) == []
    program = "import os; from crystalformer_rl.tools.doctor import machine; os.setuid(54321)"
    program += "\nprint(*machine.user())"
    names = ("LOGNAME", "USER", "LNAME", "USERNAME")
    nameless = {key: value for key, value in os.environ.items() if key not in names}
    words = [sys.executable, "-c", program]
    for environment, expected in (
        (nameless, "user 54321 has no name on this machine"),
        (nameless | {"LOGNAME": "user54321"}, ""),
    ):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        assert expected in done.stdout
        assert bool(expected) == bool(done.stdout.strip())


def test_the_number_of_a_user_without_a_name() -> None:
    assert machine.user_name(0) == "root"
    numbers = {entry.pw_uid for entry in pwd.getpwall()}
    free = next(number for number in range(50_000, 100_000) if number not in numbers)
    assert machine.user_name(free) == str(free)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    (found,) = machine.permissions([tmp_path / "results"])
    tmp_path.chmod(0o700)
    assert found.status == "problem"
    assert "chmod u+w" in found.change
