"""The documentation builds as a site, works without network, and its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.copies import REPOSITORY

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
# What a browser loads by itself, unlike a link that the reader may follow.
LOADED = re.compile(
    r"<(?:script|img|iframe)[^>]*\ssrc=\"(https?:[^\"]*)|<link[^>]*\shref=\"(https?:[^\"]*)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of mkdocs (a dead link, a page not listed) fails the build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    pages = {path.relative_to(REPOSITORY / "docs") for path in (REPOSITORY / "docs").rglob("*.md")}
    built = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    assert pages == built - {Path("404.md")}


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    loaded = {
        (path.name, *match)
        for path in site.rglob("*.html")
        for match in LOADED.findall(path.read_text())
    }
    assert loaded == set()


def test_every_page_is_in_the_navigation() -> None:
    text = (REPOSITORY / "mkdocs.yml").read_text()
    listed = set(re.findall(r"[\w/-]+\.md", str(yaml.safe_load(text)["nav"])))
    docs = REPOSITORY / "docs"
    assert listed == {str(path.relative_to(docs)) for path in docs.rglob("*.md")}


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "config/README.md"]
)
def test_links_of_pages_outside_the_site_lead_to_files(page: str) -> None:
    path = REPOSITORY / page
    links = [link for link in LINK.findall(path.read_text()) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_pages_that_other_files_name_exist() -> None:
    """Comments, messages and help texts refer to pages as docs/….md."""
    files = subprocess.run(
        ["git", "grep", "-I", "-h", "-o", "-E", r"\bdocs/[A-Za-z0-9_/-]+\.md"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    named = set(files.stdout.split())
    assert named
    assert [name for name in sorted(named) if not (REPOSITORY / name).is_file()] == []
