"""A fresh copy of the repository for each test."""

from pathlib import Path

import pytest
from helpers.copies import Copy, copy_repository


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return copy_repository(tmp_path / "clone")
