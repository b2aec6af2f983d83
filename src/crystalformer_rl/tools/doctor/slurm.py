"""The answers of Slurm about a cluster, parsed: nodes, time limits, GPUs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FIELDS = "%N|%P|%a|%T|%c|%m|%G|%l"
"""``sinfo``'s format of :func:`nodes`; the same in every version since 2.6."""
# sinfo marks a state that is about to change, or a node that does not answer or is switched off.
MARKS = "*~#!%$@^-+"
# Bytes of memory are counted in units of 1024; without a unit they are MB.
MEGABYTES = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}
THOUSANDS = {"K": 1024, "M": 1024**2}
UNLIMITED = ("infinite", "unlimited", "n/a", "none", "")
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


def nodes(text: str) -> tuple[list[Node], list[str]]:
    """The nodes in what ``sinfo -h -N -o FIELDS`` printed, once for each of their partitions.

    Returns
    -------
    nodes
        Of the lines that can be read.
    unreadable
        The other lines: banners, headers, or fields in another form.
    """
    found, unreadable = [], []
    for line in filter(str.strip, text.splitlines()):
        try:
            found.append(_node(line))
        except ValueError:
            unreadable.append(line.strip())
    return found, unreadable


def _node(line: str) -> Node:
    fields = line.strip().split("|")
    if len(fields) != FIELDS.count("%"):
        raise ValueError(f"sinfo printed {line!r}, expected {FIELDS}")
    name, partition, available, state, cpus, memory, gres, limit = fields
    plain = state.lower().rstrip(MARKS)
    answers = "*" not in state
    up = available.lower() == "up"
    return Node(
        name=name,
        partition=partition.removesuffix("*"),
        is_default=partition.endswith("*"),
        usable=up and plain in USABLE and answers,
        state=state if up else f"{state}, partition {available}",
        cpus=_count(cpus, THOUSANDS),
        mem_mb=_count(memory, MEGABYTES),
        gpus=tuple(gpus(gres)),
        minutes=minutes(limit),
    )


def gpus(gres: str) -> Iterable[tuple[str | None, int]]:
    """Model and number of GPUs in ``gpu:h200:2(S:0-1),gpu:4,shard:8``."""
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        kind, *rest = (part for part in entry.strip().split(":") if part != "no_consume")
        if kind.lower().removeprefix("gres/") == "gpu":
            number = int(rest.pop()) if rest and rest[-1].isdecimal() else 1
            yield (rest[0] if rest else None), number


def minutes(limit: str) -> int | None:
    """Minutes in a time limit as ``sbatch --time`` takes it; None for ``infinite``.

    The forms are ``30`` (minutes), ``30:00``, ``12:00:00``, ``2-12`` (days and hours),
    ``2-12:00`` and ``2-12:00:00``.

    Raises
    ------
    ValueError
        If it is not a time limit of Slurm.
    """
    if limit.lower() in UNLIMITED:
        return None
    matched = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if matched is None:
        raise ValueError(f"{limit!r} is not a time limit: expected days-hours:minutes:seconds")
    days, first, second, third = matched.groups()
    if days is None and third is None:
        return int(first)
    return (int(days or 0) * 24 + int(first)) * 60 + int(second or 0)


def setting(config: str, name: str) -> str | None:
    """The value of a setting in what ``scontrol show config`` printed, or None."""
    matched = re.search(rf"^{name}\s*=\s*(.*?)\s*$", config, flags=re.MULTILINE)
    return matched.group(1) if matched else None


def seconds(duration: str) -> int | None:
    """Seconds in a duration of ``scontrol show config``, such as ``300 sec``; None for another.

    Slurm itself prints seconds; wrappers of sites print minutes or hours.
    """
    matched = re.fullmatch(r"(\d+)\s*(?:(s|m|h|d)[a-z]*)?\.?", duration.strip().lower())
    if matched is None:
        return None
    return int(matched[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[matched[2] or "s"]


def _count(text: str, units: Mapping[str, float]) -> int:
    """A number that may have a unit, and a plus where nodes differ."""
    number = text.strip().rstrip("+").upper().removesuffix("B")
    unit = units.get(number[-1:])
    return int(number) if unit is None else int(float(number[:-1]) * unit)
