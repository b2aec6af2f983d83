"""Files that could run code when they are read: refused unless trusted, and none of it runs."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crystalformer_rl.potentials.pickles import (
    refuse_unless_harmless,
    refuse_unless_trusted,
)


class Command:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def test_arrays_and_plain_values_are_harmless(tmp_path: Path) -> None:
    content = {
        "weights": torch.ones(2),
        "arrays": [np.zeros((2, 3)), np.array([True]), np.array(["Na", "Cl"]), np.arange(3)],
        "numbers": (np.float64(1), np.float32(2), np.int64(3), 4.0),
        "settings": {"name": "x", "none": None},
    }
    torch.save(content, tmp_path / "a.pth")
    refuse_unless_harmless(tmp_path / "a.pth", trusted=False)


def test_anything_else_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(2), "more": Command(tmp_path / "ran")}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth is a Python pickle.*`trust_pickles: true`"):
        refuse_unless_harmless(tmp_path / "a.pth", trusted=False)
    assert not (tmp_path / "ran").exists()


def test_trust_is_the_user_s_word(tmp_path: Path) -> None:
    (tmp_path / "a.model").touch()
    refuse_unless_trusted(tmp_path / "a.model", trusted=True)
    with pytest.raises(ValueError, match="--trust-pickles"):
        refuse_unless_trusted(tmp_path / "a.model", trusted=False)


@pytest.mark.parametrize("check", [refuse_unless_trusted, refuse_unless_harmless])
def test_a_missing_file_is_said_to_be_missing(tmp_path: Path, check: Any) -> None:
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "gone.pth", trusted=True)
