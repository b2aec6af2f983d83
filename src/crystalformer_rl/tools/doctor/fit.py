"""Whether a cluster has a node for the requests of the jobs of a rule."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from crystalformer_rl.tools.doctor.findings import Finding, place
from crystalformer_rl.tools.doctor.plan import Request
from crystalformer_rl.tools.doctor.slurm import Node


def fits(
    first: Sequence[Request], last: Sequence[Request], nodes: Sequence[Node], *, profile: Path
) -> Iterator[Finding]:
    """What :func:`fit` says of first attempts, and of last ones where only they do not fit."""
    findings = [fit(request, nodes, profile=profile) for request in first]
    yield from findings
    wrong = {finding.topic for finding in findings if finding.status == "problem"}
    for finding in (fit(request, nodes, profile=profile) for request in last):
        if finding.status == "problem" and finding.topic not in wrong:
            yield replace(finding, topic=f"{finding.topic}, last attempt", status="warning")


def fit(request: Request, nodes: Sequence[Node], *, profile: Path) -> Finding:
    """Whether some node of its partition can run a job, and within its time limit."""
    topic = f"rule {request.rule}"
    partition = request.partition or next((n.partition for n in nodes if n.is_default), None)
    members = [node for node in nodes if node.partition == partition]
    if not members:
        names = ", ".join(dict.fromkeys(node.partition for node in nodes))
        words = f"partition {partition} is not on this cluster, which has {names}"
        return Finding(topic, "problem", words, _line(profile, f"slurm_partition: {partition}"))
    asked = _words(request)
    where = place([profile], "set-resources", request.rule)
    limit = members[0].minutes
    if request.minutes is not None and limit is not None and request.minutes > limit:
        words = f"{asked}: partition {partition} allows {limit} min"
        return Finding(topic, "problem", words, f"runtime: {limit}, in {where}")
    fitting = [node for node in members if not _lacks(node, request)]
    if len(fitting) < request.nodes:
        lacking = _nearest(members, request)
        words = f"{asked}: no node of partition {partition} has " + " and ".join(lacking)
        if fitting:
            words = f"{asked}: partition {partition} has {len(fitting)} such nodes"
        change = "; ".join(lacking.values()) or f"nodes: {len(fitting)}"
        return Finding(topic, "problem", words, f"{change}, in {where}, or another partition")
    usable = sum(node.usable for node in fitting)
    if usable < request.nodes:
        states = ", ".join(f"{node.name} is {node.state}" for node in fitting[:3])
        words = f"{asked}: fits partition {partition}, but {states}: jobs would wait"
        return Finding(topic, "warning", words)
    return Finding(topic, "ok", f"{asked}: fits {usable} nodes of partition {partition}")


def _lacks(node: Node, request: Request) -> dict[str, str]:
    """The resources that a node lacks, in words, and the request that it could satisfy."""
    wanted, same = request.gpu_model, [n for m, n in node.gpus if _same(m, request.gpu_model)]
    most = max(same, default=0)
    models = ", ".join(sorted({model or "gpu" for model, _ in node.gpus})) or "none"
    gpu = f"gpu: {most}" if most else f"gpu_model, of which there is {models}"
    kind = f"{wanted} GPUs" if wanted else "GPUs"
    needs = (
        (request.gpus, most, kind, gpu),
        (request.mem_mb or 0, node.mem_mb, "MB", f"mem_mb: {node.mem_mb}"),
        (request.cpus, node.cpus, "CPUs", f"cpus_per_task: {node.cpus}"),
    )
    return {f"{asked} {unit}": change for asked, has, unit, change in needs if asked > has}


def _nearest(nodes: Sequence[Node], request: Request) -> dict[str, str]:
    """What the node lacks that lacks least; of those, the largest."""
    lacks = ((_lacks(node, request), node) for node in nodes)
    return min(lacks, key=lambda pair: (len(pair[0]), -pair[1].mem_mb))[0]


def _same(model: str | None, wanted: str | None) -> bool:
    return wanted is None or (model is not None and model.lower() == wanted.lower())


def _words(request: Request) -> str:
    parts = [f"{request.cpus} CPUs"]
    if request.gpus:
        parts.insert(0, f"{request.gpus} {request.gpu_model or 'GPU'}")
    if request.mem_mb is not None:
        parts.append(f"{request.mem_mb} MB")
    if request.minutes is not None:
        parts.append(f"{request.minutes} min")
    return ", ".join(parts) + (f" on each of {request.nodes} nodes" if request.nodes > 1 else "")


def _line(file: Path, text: str) -> str:
    """Where a text stands in a file that may be a template."""
    lines = file.read_text(encoding="utf-8").splitlines()
    numbers = [n for n, line in enumerate(lines, 1) if text in line.partition("#")[0]]
    return f"{file}, line {numbers[0]}: `{text}`" if numbers else f"slurm_partition in {file}"
