"""The wheel works outside the repository: library, command line, weights and data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.copies import copy_repository

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = copy_repository(folder / "clone")
    pip = [sys.executable, "-m", "pip"]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."]
    subprocess.run([*pip, *build], cwd=copy.folder, check=True)
    (wheel,) = (copy.folder / "dist").glob("*.whl")
    target = folder / "site"
    subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)], check=True
    )
    return target


def run(site: Path, folder: Path, *words: str) -> str:
    """What Python prints, with the installed package before that of the repository."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_is_that_of_the_wheel(site: Path, tmp_path: Path) -> None:
    said = run(site, tmp_path, "-c", "import crystalformer_rl as cf; print(cf.__file__)")
    assert Path(said.strip()).is_relative_to(site)


def test_it_samples_from_a_shipped_policy(site: Path, tmp_path: Path) -> None:
    words = ("sample", "--policy", "mp20-base", "--space-group", "225", "-n", "2")
    run(site, tmp_path, "-m", "crystalformer_rl", *words, "--out", "crystals.zip")
    assert (tmp_path / "crystals.zip").stat().st_size > 0


def test_it_has_what_judging_needs(site: Path, tmp_path: Path) -> None:
    program = (
        "from crystalformer_rl.shipped import RESOURCES\n"
        "from crystalformer_rl.crystal.readers import open_source\n"
        "print(len(open_source(RESOURCES / 'mp20/crystals.parquet', merge_below=0.1).ids))\n"
        "print(sorted(path.name for path in (RESOURCES / 'elements').iterdir()))"
    )
    said = run(site, tmp_path, "-c", program)
    assert said.splitlines() == ["44338", "['chgnet.json', 'crystals.parquet', 'sevennet.json']"]
