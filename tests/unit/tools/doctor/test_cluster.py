"""Accounting and accounts: which profile to use, as recorded from Slurm 22.05."""

from pathlib import Path

import pytest

from crystalformer_rl.tools.doctor import cluster
from crystalformer_rl.tools.doctor.cluster import (
    Answer,
    accounting,
    accounts,
    ask,
    drivers,
    partitions,
    profile_file,
)
from crystalformer_rl.tools.doctor.plan import Request
from crystalformer_rl.tools.doctor.slurm import nodes

REPOSITORY = Path(__file__).parents[4]
PROFILE = REPOSITORY / "workflow/profiles/slurm/config.v8+.yaml"
DISABLED = Answer(ok=False, text="SLURM accounting storage is disabled")
ENABLED = Answer(ok=True, text="")
MISSING = Answer(ok=False, text="sacct is not installed here", installed=False)


@pytest.mark.parametrize(
    ("answer", "age", "command", "expected"),
    [
        (ENABLED, "300 sec", "sacct", ("ok", "sacct answers")),
        (DISABLED, "300 sec", "sacct", ("problem", "SLURM accounting storage is disabled")),
        (DISABLED, "300 sec", "squeue", ("ok", "squeue is asked, MinJobAge 300 sec")),
        (DISABLED, "2 sec", "squeue", ("problem", "MinJobAge is 2 s")),
        (ENABLED, "2 sec", "squeue", ("problem", "MinJobAge is 2 s")),
        (MISSING, "300 sec", "sacct", ("ok", "squeue is asked")),
        (MISSING, "2 sec", "sacct", ("problem", "MinJobAge is 2 s")),
        (ENABLED, None, "squeue", ("ok", "sacct answers too")),
    ],
)
def test_accounting(
    tmp_path: Path, answer: Answer, age: str | None, command: str, expected: tuple[str, str]
) -> None:
    """Removing a "# " in the profile is what the profile and the finding advise."""
    profile = tmp_path / "config.yaml"
    text = PROFILE.read_text()
    line = "# slurm-status-command: squeue\n"
    assert text.count(line) == 1
    profile.write_text(text.replace(line, line[2:]) if command == "squeue" else text)
    found = accounting(answer, job_age=age, profile=profile)
    status, words = expected
    assert found.status == status
    assert words in found.found
    assert bool(found.change) == (status == "problem")


def test_drivers_whose_jobs_are_in_the_queue() -> None:
    queue = "\n".join(
        (
            "crystalformer_1|rule_relax_wildcards_base_0000|/here",
            "crystalformer_1|rule_relax_wildcards_base_0001|/here",
            "crystalformer_2|rule_relax_wildcards_base_0001|/elsewhere",
            "wrap|(null)|/here",
            "other|two|bars|/here",
        )
    )
    (found,) = drivers(Answer(ok=True, text=queue), folder=Path("/here"))
    assert (found.topic, found.status) == ("driver crystalformer_1", "warning")
    assert found.found.startswith("2 of its jobs")
    assert "scancel --name=crystalformer_1" in found.change
    (found,) = drivers(Answer(ok=False, text="squeue: error"), folder=Path("/here"))
    assert (found.status, found.found) == ("warning", "cannot be read: squeue: error")


def test_without_accounting_the_key_of_the_profile_and_the_option_are_named() -> None:
    found = accounting(DISABLED, job_age="300 sec", profile=PROFILE)
    assert f"{PROFILE}: `slurm-status-command:` squeue" in found.change
    assert "--slurm-status-command squeue" in found.change


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (Answer(ok=True, text="mine\nother"), "ok", "may use it"),
        (Answer(ok=True, text="other"), "problem", "may use other"),
        (DISABLED, "warning", "cannot be checked: SLURM accounting storage is disabled"),
    ],
)
def test_accounts(monkeypatch: pytest.MonkeyPatch, answer: Answer, status: str, words: str) -> None:
    monkeypatch.setattr(cluster, "ask", lambda *_: answer)
    asked = [Request("a", account="mine"), Request("b", account="mine"), Request("c")]
    (found,) = accounts(asked, profile=PROFILE)
    assert (found.topic, found.status) == ("account mine", status)
    assert words in found.found
    assert list(accounts(asked[2:], profile=PROFILE)) == []


def test_partitions() -> None:
    text = (
        "a|cpu*|up|idle|4|8000|(null)|infinite\n"
        "b|cpu*|up|down*|8|9000|(null)|infinite\n"
        "c|gpu|up|drained|2|1000|gpu:h200:2(S:0)|1:00:00\n"
    )
    cpu, gpu = partitions(nodes(text))
    assert (cpu.topic, cpu.status) == ("partition cpu (default)", "ok")
    assert cpu.found == (
        "1 of 2 nodes take jobs; at most 8 CPUs, 9000 MB and no GPU each; no time limit"
    )
    assert gpu.status == "warning"
    assert "2 h200 each; at most 60 min" in gpu.found


def test_commands_that_are_missing_or_fail() -> None:
    assert not ask("no-such-command-here").ok
    assert ask("sh", "-c", "echo fine") == Answer(ok=True, text="fine")
    assert ask("sh", "-c", "echo wrong >&2; exit 1") == Answer(ok=False, text="wrong")


def test_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert profile_file("slurm").resolve() == PROFILE
    assert profile_file("workflow/profiles/slurm").resolve() == PROFILE
    assert profile_file(str(PROFILE)) == PROFILE
    with pytest.raises(ValueError, match=r"--profile pbs: no such profile; .* has default"):
        profile_file("pbs")
