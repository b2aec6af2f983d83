"""What Slurm says of a cluster, taken apart: nodes, time limits, GPUs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

FIELDS = "%N|%P|%a|%T|%c|%m|%G|%l"
"""``sinfo``'s format of :func:`nodes`; the same in every version since 2.6."""
# sinfo marks a state that is about to change, or a node that does not answer or is switched off.
MARKS = "*~#!%$@^-+"
USABLE = ("idle", "mixed", "allocated", "completing", "planned", "powering_up", "powered_down")


@dataclass(frozen=True)
class Node:
    """A node as a member of one partition.

    Attributes
    ----------
    usable
        Whether partition and node take jobs, now or later.
    gpus
        Model (None where the cluster does not name it) and number, for each kind.
    minutes
        The partition's time limit; None if it has none.
    """

    name: str
    partition: str
    is_default: bool
    usable: bool
    state: str
    cpus: int
    mem_mb: int
    gpus: tuple[tuple[str | None, int], ...]
    minutes: int | None


def nodes(text: str) -> list[Node]:
    """The nodes in what ``sinfo -h -N -o FIELDS`` printed, once for each of their partitions.

    Raises
    ------
    ValueError
        If a line has other fields; the message shows it.
    """
    return [_node(line) for line in text.splitlines() if line.strip()]


def _node(line: str) -> Node:
    fields = line.strip().split("|")
    if len(fields) != FIELDS.count("%"):
        raise ValueError(f"sinfo printed {line!r}, expected {FIELDS}")
    name, partition, available, state, cpus, memory, gres, limit = fields
    plain = state.lower().rstrip(MARKS)
    answers = "*" not in state
    return Node(
        name=name,
        partition=partition.removesuffix("*"),
        is_default=partition.endswith("*"),
        usable=available == "up" and plain in USABLE and answers,
        state=state if available == "up" else f"{state}, partition {available}",
        cpus=_count(cpus),
        mem_mb=_count(memory),
        gpus=tuple(gpus(gres)),
        minutes=minutes(limit),
    )


def gpus(gres: str) -> Iterable[tuple[str | None, int]]:
    """Model and number of GPUs in ``gpu:h200:2(S:0-1),gpu:4,shard:8``."""
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        kind, *rest = entry.strip().split(":")
        if kind == "gpu":
            number = int(rest.pop()) if rest and rest[-1].isdecimal() else 1
            yield (rest[0] if rest else None), number


def minutes(limit: str) -> int | None:
    """Minutes in ``2-12:00:00``, ``12:00:00`` or ``30:00``; None for ``infinite``.

    Raises
    ------
    ValueError
        If it is no time limit of Slurm.
    """
    if limit.lower() in ("infinite", "unlimited", "n/a", "none", ""):
        return None
    matched = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if matched is None:
        raise ValueError(f"{limit!r} is no time limit: expected days-hours:minutes:seconds")
    days, hours, part, seconds = (int(group or 0) for group in matched.groups())
    return (days * 24 + hours) * 60 + part + seconds // 60


def setting(config: str, name: str) -> str | None:
    """The value of a setting in what ``scontrol show config`` printed, or None."""
    matched = re.search(rf"^{name}\s*=\s*(.*?)\s*$", config, flags=re.MULTILINE)
    return matched.group(1) if matched else None


def _count(text: str) -> int:
    """A number that may have a plus, where nodes differ."""
    return int(text.rstrip("+"))
