"""Files that could run code when they are read: refused unless trusted, and none of it runs."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crystalformer_rl.config import TRUST_PICKLES
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


@pytest.fixture(autouse=True)
def no_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRUST_PICKLES, raising=False)


def test_arrays_and_plain_values_are_harmless(tmp_path: Path) -> None:
    content = {
        "weights": torch.ones(2),
        "arrays": [np.zeros((2, 3)), np.array([True]), np.array(["Na", "Cl"]), np.arange(3)],
        "numbers": (np.float64(1), np.float32(2), np.int64(3), 4.0),
        "settings": {"name": "x", "none": None},
    }
    torch.save(content, tmp_path / "a.pth")
    refuse_unless_harmless(tmp_path / "a.pth")


def test_anything_else_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(2), "more": Command(tmp_path / "ran")}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth is a Python pickle.*`trust_pickles: true`"):
        refuse_unless_harmless(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("value", "trusted"), [("1", True), ("0", False), ("", False)])
def test_trust_is_the_user_s_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, trusted: bool
) -> None:
    (tmp_path / "a.model").touch()
    monkeypatch.setenv(TRUST_PICKLES, value)
    if trusted:
        refuse_unless_trusted(tmp_path / "a.model")
    else:
        with pytest.raises(ValueError, match=f"{TRUST_PICKLES}=1"):
            refuse_unless_trusted(tmp_path / "a.model")


@pytest.mark.parametrize("check", [refuse_unless_trusted, refuse_unless_harmless])
def test_a_missing_file_is_said_to_be_missing(tmp_path: Path, check: Any) -> None:
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "gone.pth")
