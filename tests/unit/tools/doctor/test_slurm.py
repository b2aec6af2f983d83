"""Slurm's answers taken apart, as recorded from version 22.05 and as its manual describes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalformer_rl.tools.doctor.slurm import gpus, minutes, nodes, seconds, setting

RECORDED = """\
pretend1|cpu*|up|mixed|16|256000|gpu:1|infinite
pretend1|gpu|up|mixed|16|256000|gpu:1|infinite
pretend2|cpu*|up|idle|16|256000|gpu:1|infinite
pretend2|gpu|up|drained|16|256000|gpu:1|infinite
"""
CONFIG = """\
Configuration data as of 2026-11-22T16:35:40
AccountingStorageType   = accounting_storage/none
MinJobAge               = 3600 sec
SLURM_VERSION           = 22.05.8
"""


def test_nodes_of_a_real_cluster() -> None:
    found, unreadable = nodes(RECORDED)
    assert unreadable == []
    assert [(node.name, node.partition) for node in found] == [
        ("pretend1", "cpu"), ("pretend1", "gpu"), ("pretend2", "cpu"), ("pretend2", "gpu")
    ]  # fmt: skip
    assert [node.is_default for node in found] == [True, False, True, False]
    assert [node.usable for node in found] == [True, True, True, False]
    assert {(node.cpus, node.mem_mb, node.gpus, node.minutes) for node in found} == {
        (16, 256000, ((None, 1),), None)
    }


@pytest.mark.parametrize(
    ("available", "state", "usable"),
    [
        ("up", "idle", True),
        ("up", "idle~", True),
        ("up", "mixed", True),
        ("up", "allocated+", True),
        ("up", "idle*", False),
        ("up", "down*", False),
        ("up", "draining@", False),
        ("down", "idle", False),
        ("drain", "idle", False),
    ],
)
def test_which_nodes_take_jobs(available: str, state: str, usable: bool) -> None:
    ((node,), _) = nodes(f"n1|p|{available}|{state}|4+|8000|(null)|1:00:00")
    assert node.usable == usable
    assert (node.cpus, node.gpus, node.minutes) == (4, (), 60)


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("(null)", []),
        ("gpu:4", [(None, 4)]),
        ("gpu:h200:2(S:0-1)", [("h200", 2)]),
        ("gpu:a100:4(S:0,2),gpu:1g.10gb:7(S:1),shard:8", [("a100", 4), ("1g.10gb", 7)]),
        ("gpu", [(None, 1)]),
        ("gpu:v100", [("v100", 1)]),
        ("gpu:a100:no_consume:4,tmpdisk:2T", [("a100", 4)]),
        ("gpu:no_consume:4", [(None, 4)]),
        ("gres/gpu:A100:4", [("A100", 4)]),
        ("craynetwork:4", []),
    ],
)
def test_gpus(gres: str, expected: list[tuple[str | None, int]]) -> None:
    assert list(gpus(gres)) == expected


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59))
def test_a_time_limit_in_minutes(days: int, hours: int, part: int) -> None:
    whole = (days * 24 + hours) * 60 + part
    assert minutes(f"{days}-{hours:02d}:{part:02d}:00") == whole
    assert minutes(f"{hours}:{part:02d}:00") == hours * 60 + part
    assert minutes(f"{part}:00") == part


def test_no_time_limit() -> None:
    assert minutes("infinite") is None
    with pytest.raises(ValueError, match="'soon' is not a time limit"):
        minutes("soon")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("2-0", 2880),
        ("2-12", 3600),
        ("2-12:30", 3630),
        ("2-12:30:59", 3630),
        ("1:30:00", 90),
        ("30:59", 30),
        ("90", 90),
        ("UNLIMITED", None),
        ("n/a", None),
    ],
)
def test_the_forms_of_a_time_limit(limit: str, expected: int | None) -> None:
    assert minutes(limit) == expected


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ("512000", 512000),
        ("512000+", 512000),
        ("256000M", 256000),
        ("256000MB", 256000),
        ("250G", 256000),
        ("250.5G", 256512),
        ("250G+", 256000),
        ("2T", 2097152),
        ("1048576K", 1024),
    ],
)
def test_memory_in_units(memory: str, expected: int) -> None:
    ((node,), _) = nodes(f"n1|p|up|idle|1K|{memory}|(null)|2-0")
    assert (node.mem_mb, node.cpus, node.minutes) == (expected, 1024, 2880)


def test_a_line_that_cannot_be_read_costs_that_line() -> None:
    banner = "*** maintenance on Friday 18:00, see the wiki ***"
    header = "NODELIST|PARTITION|AVAIL|STATE|CPUS|MEMORY|GRES|TIMELIMIT"
    soon = "n1|p|up|idle|4|8000|(null)|soon"
    found, unreadable = nodes("\n".join([banner, "", header, soon, *RECORDED.splitlines()]))
    assert unreadable == [banner, header, soon]
    assert found == nodes(RECORDED)[0]
    assert nodes("") == ([], [])


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("300 sec", 300), ("300", 300), ("5 min", 300), ("1 hour", 3600), ("2-0", None), ("", None)],
)
def test_seconds_of_a_duration(duration: str, expected: int | None) -> None:
    assert seconds(duration) == expected


def test_settings() -> None:
    assert setting(CONFIG, "MinJobAge") == "3600 sec"
    assert setting(CONFIG, "SLURM_VERSION") == "22.05.8"
    assert setting(CONFIG, "JobAge") is None
