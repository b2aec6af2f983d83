"""The default profile on a workstation with an NVIDIA card, and without one."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yte
from helpers.copies import REPOSITORY

from crystalformer_rl.tools.doctor.machine import DRIVER

PROFILE = REPOSITORY / "workflow/profiles/default/config.v8+.yaml"


def profile(monkeypatch: pytest.MonkeyPatch, *words: str, card: bool) -> dict[str, Any]:
    """The profile as snakemake reads it with these arguments."""
    plain = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: card if path == DRIVER else plain(path))
    monkeypatch.setattr(sys, "argv", ["snakemake", *words])
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    found: dict[str, Any] = yte.process_yaml(PROFILE.read_text(encoding="utf-8"))
    return found


def test_few_jobs_share_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    found = profile(monkeypatch, card=True)
    limit = found["resources"]["gpu"]
    assert all(0 < one["gpu"] <= limit for one in found["set-resources"].values())
    rules = {
        line.split()[1].rstrip(":")
        for path in (REPOSITORY / "workflow/rules").glob("*.smk")
        for block in path.read_text(encoding="utf-8").split("\nrule ")[1:]
        for line in [f"rule {block.splitlines()[0]}"]
        if "gpu=0" in block
    }
    assert rules <= found["set-resources"].keys()


def test_without_a_card_and_on_a_cluster_nothing_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "resources" not in profile(monkeypatch, card=False)
    assert "resources" not in profile(monkeypatch, "--profile", "slurm", card=True)
