"""What a run reads: files of the settings, downloads of the manifest, potentials."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from crystalformer_rl.config import Config
from crystalformer_rl.manifest import Entry, mismatch, recorded
from crystalformer_rl.model.folder import WEIGHTS, check_policy
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.tools.doctor.findings import Finding, place

DOWNLOADS = Path("resources/downloads")
PRETRAINED = Path("resources/pretrained")


def files(
    config: Config, manifest: Mapping[str, Entry], config_files: Sequence[Path]
) -> Iterator[Finding]:
    """Every file that the settings name or the manifest knows: there, to be fetched, or missing."""
    named: dict[str, tuple[str, ...]] = {
        path: ("dataset", "sources", split) for split, path in config.dataset.sources.items()
    }
    named |= dict.fromkeys(config.hull.files, ("hull", "files"))
    named |= dict.fromkeys(config.comparison_hull.files, ("comparison_hull", "files"))
    for text, keys in named.items():
        path = Path(text)
        key = path.relative_to(DOWNLOADS).as_posix() if path.is_relative_to(DOWNLOADS) else None
        if key in manifest:
            continue
        topic = ".".join(keys)
        if path.exists():
            yield Finding(topic, "ok", text)
        else:
            yield Finding(
                topic,
                "problem",
                f"{text}: no such file or folder",
                f"put it at {path.absolute()}, or change {place(config_files, *keys)}",
            )
    for key, entry in manifest.items():
        yield _download(key, entry, needed=str(DOWNLOADS / key) in named)
    if config.base_policy is not None:
        yield _base_policy(config.base_policy, config, config_files)


def potentials(config: Config, config_files: Sequence[Path], *, device: str) -> Iterator[Finding]:
    """Whether each potential of the settings loads and passes its self-test."""
    keys = {config.hull.potential: "hull"}
    if config.judge.potential is not None:
        keys[config.judge.potential] = "judge"
    for spec, section in keys.items():
        topic = f"potential {spec}"
        try:
            potential = load(spec, device=device, trust_pickles=config.jobs.trust_pickles)
        except (ValueError, OSError, ImportError, RuntimeError) as error:
            key = place(config_files, section, "potential")
            yield Finding(topic, "problem", str(error), f"as said above, or name another: {key}")
        else:
            yield Finding(
                topic, "ok", f"{potential.version} passes its self-test ({section}.potential)"
            )


def _download(key: str, entry: Entry, *, needed: bool) -> Finding:
    topic, path = f"download {key}", DOWNLOADS / key
    if path.is_file():
        problem = mismatch(path, entry, sha256=recorded(path))
        if problem is None:
            return Finding(topic, "ok", f"{path}, {entry.checksum}")
        change = f"rm {path}, and it is downloaded again from {entry.url}"
        return Finding(topic, "problem" if needed else "warning", f"{path}: {problem}", change)
    if not needed:
        return Finding(topic, "ok", f"not there, and not needed: {entry.url}")
    return Finding(
        topic,
        "warning",
        f"not there: snakemake fetches it, on this machine, from {entry.url}",
        f"without network: fetch it elsewhere ({entry.checksum}) and put it at {path.absolute()}",
    )


def _base_policy(name: str, config: Config, config_files: Sequence[Path]) -> Finding:
    for folder in (Path(name), PRETRAINED / name):
        if (folder / WEIGHTS).is_file():
            try:
                check_policy(folder, by_histogram=config.by_histogram)
            except (FileNotFoundError, ValueError) as error:
                change = f"as said above, or another policy: {place(config_files, 'base_policy')}"
                return Finding("base_policy", "problem", f"{folder}: {error}", change)
            return Finding("base_policy", "ok", str(folder))
    known = ", ".join(sorted(path.parent.name for path in PRETRAINED.glob(f"*/{WEIGHTS}")))
    return Finding(
        "base_policy",
        "problem",
        f"{name}: no folder with {WEIGHTS}, and none of that name in {PRETRAINED}",
        f"{place(config_files, 'base_policy')} null, or one of {known or 'your own'}",
    )
