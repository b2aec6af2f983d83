"""The pages that tell how to extend the project: their blocks are applied to a copy and checked.

A block with a file name as its title is a new file, or a change of one if its language is "diff".
The commands of the page follow, in the same copy.
"""

from pathlib import Path

import pytest
from helpers.copies import REPOSITORY
from helpers.pages import apply, blocks, commands, copy_with_pages, run_command

RECIPES = sorted(
    str(path.relative_to(REPOSITORY))
    for pattern in ("own-[rpm]*.md", "add-*.md")
    for path in (REPOSITORY / "docs/howto").glob(pattern)
)


@pytest.mark.parametrize("page", RECIPES)
def test_what_a_recipe_says_works(page: str, tmp_path: Path) -> None:
    copy = copy_with_pages(tmp_path / "clone")
    checks = 0
    for block in blocks(page):
        if "/" in block.title or "." in block.title:
            apply(block, copy)
        elif block.language == "bash" and not block.title:
            for command in commands(block):
                code, output = run_command(command, copy)
                assert code == 0, f"{block}: {command}\n{output}"
                checks += 1
    assert checks, "the page names no command that checks the change"


@pytest.mark.parametrize("page", RECIPES)
def test_the_text_before_a_file_names_it(page: str) -> None:
    """A forge does not show the titles of blocks."""
    lines = (REPOSITORY / page).read_text(encoding="utf-8").splitlines()
    for block in blocks(page):
        if "/" in block.title or "." in block.title:
            before = " ".join(lines[max(0, block.line - 6) : block.line - 1])
            assert f"`{block.title}`" in before, str(block)


@pytest.mark.parametrize(
    ("page", "files"),
    [("own-potential", 5), ("own-metric", 3), ("add-a-figure", 2), ("add-a-stage", 8)],
)
def test_a_recipe_edits_as_many_files_as_the_architecture_page_says(page: str, files: int) -> None:
    edited = {block.title for block in blocks(f"docs/howto/{page}.md") if block.title}
    assert len(edited) == files
    table = (REPOSITORY / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    assert f"| {files}: " in next(line for line in table.splitlines() if f"{page}.md)" in line)
