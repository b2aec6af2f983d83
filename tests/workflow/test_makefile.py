"""`make run` with a Python that is too old, and with none; nothing is installed here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.copies import REPOSITORY

OLD = "#!/bin/sh\nexit 1\n"
# As Debian's Python without ensurepip: new enough, and its venv fails half-way.
WITHOUT_VENV = f"""#!/bin/sh
case "$*" in *venv*) echo "$@" > asked; mkdir -p .venv/bin; exit 1;; esac
exec {sys.executable} "$@"
"""


@pytest.fixture(autouse=True)
def _not_within_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user calls it, although `make test` may be what runs this."""
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        monkeypatch.delenv(name, raising=False)


def make(folder: Path, python: str, *, old: bool = False) -> str:
    """Errors of `make run` in ``folder`` with this program as Python."""
    shutil.copy(REPOSITORY / "Makefile", folder)
    shutil.copytree(REPOSITORY / "envs", folder / "envs")
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    places = ["python", ".venv/bin/python"] if old else ["python"]
    for place, text in zip(places, (python, OLD), strict=False):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)
        (folder / place).chmod(0o755)
    done = subprocess.run(
        ["make", "run", "PYTHON=./python"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("python", [OLD, "#!/nowhere\n"])
def test_an_old_python_is_one_line_and_leaves_nothing(tmp_path: Path, python: str) -> None:
    first, _ = make(tmp_path, python).splitlines()
    assert first.startswith("Python 3.11 or later is needed, and './python' is not one")
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("old", [False, True])
def test_an_old_or_half_made_environment_is_not_used(tmp_path: Path, old: bool) -> None:
    make(tmp_path, WITHOUT_VENV, old=old)
    assert (tmp_path / "asked").read_text() == "-m venv --clear .venv\n"
    assert not (tmp_path / ".venv").exists()


def test_a_plan_ends_without_an_error(tmp_path: Path) -> None:
    """The report is not there yet, and snakemake says where it is when it is."""
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    words = ["make", "--dry-run", "--old-file=.venv/installed", "run", "ARGS=-n"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "snakemake -n"
