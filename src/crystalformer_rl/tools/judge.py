"""``judge``: evaluate the crystals of a file, without a workflow.

The crystals are relaxed with CHGNet, placed on the hull of its energies of the known crystals, and
compared with each other and with the known crystals. SevenNet relaxes them further and places them
on a hull of its energies. The result is a page, with the table and summary behind it.

examples:
  crystals of another generator, as extxyz, CIFs or a table
    crystalformer-rl judge generated_crystals.extxyz
    crystalformer-rl judge generated_crystals_cif.zip --out page
  quickly, without relaxation: validity, uniqueness, novelty and energies as they are
    crystalformer-rl judge cifs --quick --out first-look
  against a dataset of your own with energies by both potentials
    crystalformer-rl judge crystals.csv --reference my/reference

FOLDER/index.html is the page. The stages write below the same folder, as in a run; the same command
continues where it was interrupted. What the known crystals are like is computed by the first call,
and kept in the user's cache folder. docs/howto/external.md says what is read and what counts.
"""

import argparse
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from crystalformer_rl.config import Config, canonical
from crystalformer_rl.crystal.readers import FORMATS, read_crystals
from crystalformer_rl.crystal.symmetry import PRIMITIVE_SYMPREC, primitive
from crystalformer_rl.evaluation.columns import title_of
from crystalformer_rl.files import read_json, read_table, write_table
from crystalformer_rl.jobs.fingerprint import fingerprint
from crystalformer_rl.jobs.pool import spread
from crystalformer_rl.jobs.progress import Progress, without_bars
from crystalformer_rl.jobs.user_cache import user_cache, writable
from crystalformer_rl.layout import shard_name
from crystalformer_rl.seeds import file_digest
from crystalformer_rl.shipped import RESOURCES
from crystalformer_rl.stages import options as flags
from crystalformer_rl.stages.dataset import KeptRow, structures_table
from crystalformer_rl.stages.external import write_shards
from crystalformer_rl.stages.hull import build_hull
from crystalformer_rl.verbs import add_arguments as add_arguments_of

REFERENCE = RESOURCES / "mp20"
KNOWN, COMPARISON = "crystals.parquet", "formation_energies.csv.xz"
# Crystals of a shard, one piece of work of a process: about a group that is relaxed at once.
SHARD = 10
# The judge starts from the relaxed crystal; more steps than this change few opinions.
JUDGE_STEPS = 20
SHOWN = ("decoded", "valid", "unique", "novel", "relaxed", "stable", "sun", "sun_supported")
OF_JUDGE = ("judge_stable", "sun_judge", "sun_judge_supported")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where the files of one call are: as in the results of a run, with one policy."""

    out: Path
    name: str

    def shard(self, stage: str, number: int) -> Path:
        """One shard of a stage."""
        return self.out / stage / self.name / shard_name(number, "parquet")

    def shards(self, stage: str, count: int) -> str:
        """All shards of a stage, for a command line."""
        return f"{self.out / stage / self.name}:{count}"

    def journal(self, stage: str, number: int) -> Path:
        """The journal of an interrupted shard."""
        return self.out / "checkpoints" / stage / self.name / shard_name(number, "journal")

    @property
    def known(self) -> Path:
        """The known crystals that the crystals are compared with."""
        return self.out / "known" / "structures.parquet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    flags.add_examples(parser, __doc__)
    parser.add_argument("crystals", type=Path, help=f"what to judge: {FORMATS}")
    parser.add_argument(
        "--out", type=Path, help="folder of the page (default: the name of the crystals, -judged)"
    )
    parser.add_argument("--name", help="name of the generator (default: that of the crystals)")
    parser.add_argument(
        "--quick", action="store_true", help="judge the crystals as they are, without relaxation"
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FOLDER",
        help=f"the known crystals, {KNOWN} with energies by both potentials, and perhaps the hull "
        f"for comparison, {COMPARISON} (default: the embedded MP-20, resources/mp20)",
    )
    parser.add_argument(
        "--processes", type=int, help="worker processes (default: one per available core)"
    )


def run(args: argparse.Namespace) -> None:
    """Write the page, with the results of the stages, and log the fractions.

    Raises
    ------
    FileNotFoundError, ValueError
        If the crystals or the reference cannot be read, or there is no crystal.
    """
    name = args.name or default_name(args.crystals)
    place = Place(args.out or Path(f"{name}-judged"), name)
    if place.out.exists() and not place.out.is_dir():
        raise ValueError(f"--out {place.out}: is a file; name a folder")
    if place.out.is_dir() and any(place.out.iterdir()) and not (place.out / "sample").is_dir():
        raise ValueError(
            f"--out {place.out}: has files of another kind; name a new or empty folder"
        )
    if args.processes is not None and args.processes < 1:
        raise ValueError(f"--processes {args.processes}: must be at least 1")
    reference = args.reference or REFERENCE
    config = settings(args.crystals, name, reference, quick=args.quick)
    processes = args.processes or len(os.sched_getaffinity(0))
    total = write_shards(
        args.crystals,
        place.shard("sample", 0).parent,
        count=None,
        shard_size=SHARD,
        symprec=config.tokenize.symprec,
        merge_below=config.dataset.merge_below,
    )
    count = -(-total // SHARD)
    write_known(reference / KNOWN, place, count)
    write_hulls(place, config)
    described = describe_known(reference / KNOWN, place, processes=processes)
    with Progress("judge", total) as done:
        work = partial(judge_shard, place, config, described)
        for size in spread(work, range(count), processes=processes):
            done.update(size)
    write_results(place, config, described, count, processes=processes)
    for line in results(place, quick=args.quick):
        log.info("%s", line)
    log.info("the page: %s", place.out / "index.html")


def default_name(crystals: Path) -> str:
    """A name that can be that of a policy, from the name of a file or folder."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", crystals.resolve().name.partition(".")[0]).strip("-_")
    reserved = stem in ("", "base", "sft") or stem.startswith("rl-")
    return f"external-{stem}".strip("-")[:60] if reserved else stem[:60]


def settings(crystals: Path, name: str, reference: Path, *, quick: bool) -> Config:
    """The settings of the stages: the defaults of a run, with the crystals as its only policy."""
    comparison = reference / COMPARISON
    steps: dict[str, object] = {"max_steps": 0} if quick else {}
    return Config.model_validate(
        {
            "run": name,
            "dataset": {"sources": {"all": str(reference / KNOWN)}},
            "comparison_hull": {"files": [str(comparison)] if comparison.is_file() else []},
            "rl": {},
            "external": {name: str(crystals)},
            "relax": steps,
            "judge": {"count": None, "max_steps": JUDGE_STEPS} | steps,
            "report": {"title": f"{name}, judged"},
        }
    )


def write_known(reference: Path, place: Place, count: int) -> None:
    """Write the known crystals that matter: those of the elements of one of the crystals.

    Others are on no hull of their chemical systems, and match none of them. Crystals of one element
    are always written, so that there is a hull if no crystal can be read.

    Raises
    ------
    ValueError
        If the reference has no crystal of these elements.
    """
    shards = [read_table(place.shard("sample", number), ["numbers"]) for number in range(count)]
    systems = {frozenset(one) for shard in shards for one in shard["numbers"].dropna()}
    table = read_table(reference)
    wanted = [
        len(found) == 1 or any(found <= system for system in systems)
        for found in map(set, table["numbers"])
    ]
    if not any(wanted):
        raise ValueError(f"{reference}: no crystal with only the elements of those to be judged")
    chosen = place.known.with_name("source.parquet")
    write_table(chosen, table[wanted])
    kept = [
        KeptRow.of(row, primitive(row.cell, symprec=PRIMITIVE_SYMPREC))
        for row in read_crystals(chosen)
        if row.cell is not None
    ]
    write_table(place.known, structures_table(kept))


def describe_known(reference: Path, place: Place, *, processes: int) -> Path:
    """Properties of the known crystals: the file of an earlier call, or a new one.

    It is in the user's cache folder; where that cannot be written, with the results.
    """
    key = {
        "structures": file_digest(reference),
        "code": fingerprint("crystalformer_rl.stages.known"),
    }
    out = user_cache("known", ".parquet", key=key)
    if out.is_file():
        log.info("what the known crystals are like: %s", out)
        return out
    if not writable(out):
        log.warning("%s cannot be written: the next call computes it again", out)
        out = place.known.with_name("known.parquet")
    call("known", "--structures", reference, "--processes", processes, "--out", out)
    return out


def write_hulls(place: Place, config: Config) -> None:
    """Write the hulls of both potentials, and that of known energies if there is one."""
    judge = config.hull.model_copy(update={"potential": config.judge.potential})
    comparison = config.hull.model_copy(update=config.comparison_hull.model_dump())
    hulls = {"hull": config.hull, "judge/hull": judge}
    if config.comparison_hull.files:
        hulls["comparison/hull"] = comparison
    for folder, hull in hulls.items():
        build_hull(
            hull,
            structures=place.known,
            element_energies=RESOURCES / "elements" / f"{hull.potential}.json",
            out=place.out / folder,
        )


def judge_shard(place: Place, config: Config, described: Path, number: int) -> int:
    """Relax and assess one shard; the number of its crystals."""
    with without_bars():
        _judge_shard(place, config, described, number)
    return len(read_table(place.shard("sample", number), ["id"]))


def _judge_shard(place: Place, config: Config, described: Path, number: int) -> None:
    torch.set_num_threads(1)
    sample, relaxed, judged = (
        place.shard(stage, number) for stage in ("sample", "relax", "judge/relax")
    )
    for stage, section, after, out in (
        ("relax", config.relax, [], relaxed),
        ("judge/relax", config.judge, ["--after", relaxed], judged),
    ):
        chosen = canonical(section, without=["count", "start"])
        call("relax", "--settings", chosen, "--sample", sample, *after,
             "--journal", place.journal(stage, number), "--out", out)  # fmt: skip
    call("assess", "--settings", canonical(config.evaluate), "--policy", place.name,
         "--sample", sample, "--relaxed", relaxed, "--judged", judged,
         "--hull", place.out / "hull", "--judge-hull", place.out / "judge/hull",
         *_comparison(place, config), "--structures", place.known, "--known", described,
         "--journal", place.journal("assess", number), "--out", place.shard("assess", number),
    )  # fmt: skip


def call(verb: str, *words: object) -> None:
    """Run a verb in this process, as a rule of the workflow would."""
    parser = argparse.ArgumentParser(prog=verb)
    add_arguments_of(verb, parser)
    arguments = parser.parse_args([str(word) for word in words])
    arguments.run(arguments)


def write_results(
    place: Place, config: Config, described: Path, count: int, *, processes: int
) -> None:
    """Join the shards, and write the page."""
    call("evaluate", "--settings", canonical(config.evaluate),
         "--assessed", f"{place.name}={place.shards('assess', count)}",
         "--known", described,
         "--processes", processes, "--out", place.out / "evaluate")  # fmt: skip
    stages = ("sample", "relax", "judge/relax", "assess")
    hulls = ("hull", "judge/hull", *(["comparison/hull"] if config.comparison_hull.files else []))
    call("report", "--settings", canonical(config.report),
         "--config", canonical(config, without=["jobs"]), "--evaluation", place.out / "evaluate",
         "--provenance", *(place.out / one / "provenance.json" for one in (*hulls, "evaluate")),
         "--shards", *(place.shards(stage, count) for stage in stages),
         "--out", place.out)  # fmt: skip


def results(place: Place, *, quick: bool = False) -> Iterator[str]:
    """The fractions of the summary, a line for each; nothing is relaxed if ``quick``."""
    summary = read_json(place.out / "evaluate/summary.json")["policies"][place.name]
    judge = summary["judge"]["fractions"]
    shown = [name for name in SHOWN if not (quick and name == "relaxed")]
    for source, names in ((summary["fractions"], shown), (judge, OF_JUDGE)):
        for name in names:
            found = source[name]
            yield (
                f"{title_of(name):31s} {found['k']:5d} of {found['n']}  "
                f"{100 * found['fraction']:5.1f} % [{100 * found['low']:.1f}, "
                f"{100 * found['high']:.1f}]"
            )


def _comparison(place: Place, config: Config) -> list[object]:
    if not config.comparison_hull.files:
        return []
    return ["--comparison-hull", place.out / "comparison/hull"]
