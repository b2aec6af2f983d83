"""Accounting and accounts: which profile to use, as recorded from Slurm 22.05."""

import os
from pathlib import Path
from unittest.mock import Mock

import pytest
from snakemake_executor_plugin_slurm import Executor
from snakemake_interface_common.exceptions import WorkflowError

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
        (DISABLED, "5 min", "squeue", ("ok", "squeue is asked, MinJobAge 5 min")),
        (DISABLED, "soon", "squeue", ("ok", "squeue is asked, MinJobAge soon")),
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
    banner, found = drivers(
        Answer(ok=True, text="*** maintenance ***\ncrystalformer_1|rule_rl|/here"),
        folder=Path("/here"),
    )
    assert (banner.topic, banner.status) == ("squeue", "warning")
    assert "'*** maintenance ***'" in banner.found
    assert found.topic == "driver crystalformer_1"


def test_without_accounting_the_key_of_the_profile_and_the_option_are_named() -> None:
    found = accounting(DISABLED, job_age="300 sec", profile=PROFILE)
    assert f"{PROFILE}: `slurm-status-command:` squeue" in found.change
    assert "--slurm-status-command squeue" in found.change


SPACES = "                  mygroup \n   MyTeam\n team alpha\n"
REFUSED = "echo 'error: Access/permission denied' >&2; exit 1"


@pytest.mark.parametrize(
    ("account", "sacctmgr", "sshare", "status", "words"),
    [
        ("mygroup", f"printf '{SPACES}'", "exit 1", "ok", "doe may use it"),
        ("MyGroup", f"printf '{SPACES}'", "exit 1", "ok", "doe may use it"),
        ("myteam", f"printf '{SPACES}'", "exit 1", "ok", "doe may use it"),
        ("mygroup, myteam", f"printf '{SPACES}'", "exit 1", "ok", "doe may use it"),
        ("other", f"printf '{SPACES}'", "exit 1", "problem", "MyTeam, mygroup, team alpha"),
        ("team alpha", f"printf '{SPACES}'", "exit 1", "problem", "'team alpha' for several"),
        ("mygroup", "exit 0", "exit 0", "warning", "cannot be checked: sacctmgr: no answer"),
        ("mygroup", REFUSED, "exit 0", "warning", "sacctmgr: error: Access/permission denied"),
        ("mygroup", REFUSED, "echo mygroup", "ok", "doe may use it"),
        ("mygroup", "exit 0", "echo other", "problem", "doe may use other"),
        ("mygroup", REFUSED, "echo none >&2; exit 1", "problem", "denied; sshare: none"),
        ("mygroup", "echo Welcome; echo mygroup", "exit 1", "ok", "doe may use it"),
    ],
)
def test_accounts_are_judged_as_the_executor_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    account: str,
    sacctmgr: str,
    sshare: str,
    status: str,
    words: str,
) -> None:
    """The executor's own code is asked as well, with the same commands of SLURM."""
    for name, script in (("sacctmgr", sacctmgr), ("sshare", sshare)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LOGNAME", "doe")
    asked = [Request("a", account=account), Request("b", account=account), Request("c")]
    found = list(accounts(asked, profile=PROFILE))
    assert {finding.status for finding in found} == {status}
    assert words in found[0].found
    executor, job = Mock(), Mock(resources=Mock(slurm_account=account))
    try:
        arguments = list(Executor.get_account_arg(executor, job))
    except WorkflowError:
        arguments = []
    assert bool(arguments) == (status != "problem")
    assert executor.logger.warning.called == (status == "warning")


def test_accounts_that_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ask", lambda *_: MISSING)
    (found,) = accounts([Request("a", account="mine")], profile=PROFILE)
    assert (found.topic, found.status) == ("account mine", "warning")
    assert "cannot be checked: sacctmgr: sacct is not installed here" in found.found
    assert list(accounts([Request("c")], profile=PROFILE)) == []


def test_partitions() -> None:
    text = (
        "a|cpu*|up|idle|4|8000|(null)|infinite\n"
        "b|cpu*|up|down*|8|9000|(null)|infinite\n"
        "c|gpu|up|drained|2|1000|gpu:h200:2(S:0)|1:00:00\n"
    )
    cpu, gpu = partitions(nodes(text)[0])
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
    assert ask("printf", "\\351t\\351") == Answer(ok=True, text="\ufffdt\ufffd")


def test_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert profile_file("slurm").resolve() == PROFILE
    assert profile_file("workflow/profiles/slurm").resolve() == PROFILE
    assert profile_file(str(PROFILE)) == PROFILE
    with pytest.raises(ValueError, match=r"--profile pbs: no such profile; .* has default"):
        profile_file("pbs")
