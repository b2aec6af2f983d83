"""The inputs of a run: files of the settings, downloads of the manifest, potentials."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from crystalformer_rl.config import Config
from crystalformer_rl.manifest import DOWNLOADS, Entry, mismatch, recorded
from crystalformer_rl.model.folder import check_policy, policy_folder
from crystalformer_rl.potentials.registry import load
from crystalformer_rl.tools.doctor.findings import Finding, place


def files(
    config: Config, manifest: Mapping[str, Entry], config_files: Sequence[Path]
) -> Iterator[Finding]:
    """Every file that the settings name or the manifest knows: there, to be fetched, or missing."""
    named = {path: f"dataset.sources.{split}" for split, path in config.dataset.sources.items()}
    named |= {path: f"external.{name}" for name, path in config.external.items()}
    named |= dict.fromkeys(config.hull.files, "hull.files")
    named |= dict.fromkeys(config.comparison_hull.files, "comparison_hull.files")
    downloads = {DOWNLOADS + key: entry for key, entry in manifest.items()}
    for path, key in named.items():
        if Path(path).exists() and path not in downloads:
            yield Finding(key, "ok", path)
        elif path not in downloads:
            line = place(config_files, *key.split("."))
            change = f"put it at {Path(path).absolute()}, or change {line}"
            yield Finding(key, "problem", f"{path}: no such file or folder", change)
    for path, entry in downloads.items():
        yield _download(Path(path), entry, needed=path in named)
    if config.base_policy is not None:
        yield _base_policy(config.base_policy, config, config_files)


def potentials(config: Config, config_files: Sequence[Path], *, device: str) -> Iterator[Finding]:
    """Whether each potential of the settings loads and passes its self-test."""
    keys = {config.hull.potential: ["hull"]}
    if config.judge.potential is not None:
        keys[config.judge.potential] = ["judge"]
    for name, branch in config.rewarded.items():
        for below, reward in branch.reward.singles.items():
            if (spec := getattr(reward, "potential", None)) is not None:
                keys.setdefault(spec, ["rl", name, "reward", *below.split(".")[1:]])
    for spec, section in keys.items():
        topic = f"potential {spec}"
        try:
            potential = load(spec, device=device, trust_pickles=config.jobs.trust_pickles)
        except (ValueError, OSError, ImportError, RuntimeError) as error:
            key = place(config_files, *section, "potential")
            yield Finding(topic, "problem", str(error), f"as said above, or name another: {key}")
        else:
            found = f"{potential.version} passes its self-test ({'.'.join(section)}.potential)"
            yield Finding(topic, "ok", found)


def _download(path: Path, entry: Entry, *, needed: bool) -> Finding:
    topic = f"download {path.relative_to(DOWNLOADS)}"
    caveat = f" ({entry.caveat})" if entry.caveat else ""
    if path.is_file():
        problem = mismatch(path, entry, sha256=recorded(path))
        if problem is None:
            return Finding(topic, "ok", f"{path}, {entry.checksum}")
        change = f"rm {path}, and it is downloaded again from {entry.url}"
        return Finding(topic, "problem" if needed else "warning", f"{path}: {problem}", change)
    if not needed:
        return Finding(topic, "ok", f"missing, and not needed: {entry.url}{caveat}")
    found = f"missing: snakemake downloads it, on this machine, from {entry.url}{caveat}"
    change = f"without network, put it at {path.absolute()} yourself ({entry.checksum})"
    return Finding(topic, "warning", found, change)


def _base_policy(name: str, config: Config, config_files: Sequence[Path]) -> Finding:
    try:
        folder = policy_folder(name)
        check_policy(folder, by_histogram=config.by_histogram)
    except (FileNotFoundError, ValueError) as error:
        change = f"as said above, or another policy or null: {place(config_files, 'base_policy')}"
        return Finding("base_policy", "problem", f"{name}: {error}", change)
    return Finding("base_policy", "ok", str(folder))
