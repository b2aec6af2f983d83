"""A pipeline at the smallest size, job by job, as the rules of the workflow call it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from crystalformer_rl.config import canonical, read
from crystalformer_rl.crystal.labels import energy_column
from crystalformer_rl.files import read_table, write_table

REPOSITORY = Path(__file__).parents[3]
SETTINGS = read(
    {
        "dataset": {"sources": {"all": "resources/crystals.parquet"}, "limit": 60},
        "model": {
            "layers": 2, "heads": 2, "width": 32, "embedding": 16, "first_letter_hidden": 32,
            "widening": 2, "coordinate_modes": 8, "lattice_modes": 2,
        },
        "pretrain": {
            "start": None, "schedule": "constant", "epochs": 20, "batch_size": 20,
            "learning_rate": 1.2e-2,
        },
        "sft": {"epochs": 3, "batch_size": 2, "samples": 24, "max_e_above_hull": 1000.0},
        "rl": {"ehull": {"rounds": 1, "steps": 4, "batch_size": 4, "ppo_epochs": 1}, "fom": None},
        "sample": {"count": 24, "shard_size": 24},
        "relax": {"max_force": 1000.0, "max_steps": 3},
        "report": {"best": 2},
    }
)  # fmt: skip
POLICY = ("model.safetensors", "model.json")
TRAINED = (*POLICY, "history.parquet", "provenance.json")
TOKENS = tuple(f"tokens-{split}.safetensors" for split in ("train", "val", "test"))


@dataclass(frozen=True)
class Job:
    """One job of the workflow; all paths are relative to the folder that it runs in.

    Attributes
    ----------
    name
        Of the job, unique.
    words
        The command line, from the verb on.
    inputs, outputs
        Files; outputs may be folders. The provenance, written last, is the last of them.
    state
        What survives an interruption: the folder of checkpoints, the journal or the folder of the
        cache. Snakemake does not know of it.
    """

    name: str
    words: tuple[str, ...]
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    state: Path | None = None

    @property
    def verb(self) -> str:
        return self.words[0]

    @property
    def trains(self) -> bool:
        return "--checkpoints" in self.words


def job(
    name: str,
    *options: str,
    reads: tuple[str, ...],
    out: str,
    writes: tuple[str, ...],
    state: str | None = None,
) -> Job:
    verb = name.partition(" ")[0]
    log = f"logs/{name.replace(' ', '-')}.log"
    # A shard has its provenance beside it and is named itself; the others write into a folder.
    folder = Path(out).parent if Path(out).suffix else Path(out)
    return Job(
        name,
        (verb, "--log-file", log, "--threads", "1", *options, "--out", out),
        tuple(map(Path, reads)),
        tuple(folder / file for file in writes),
        None if state is None else Path(state),
    )


def training(
    name: str,
    *options: str,
    reads: tuple[str, ...],
    out: str,
    writes: tuple[str, ...] = TRAINED,
) -> Job:
    state = f"checkpoints/{name.partition(' ')[0]}"
    # Every step leaves a checkpoint, so that every fault meets some.
    loop = ("--checkpoints", state, "--minutes", "60", "--checkpoint-minutes", "0")
    return job(
        name,
        *("--settings", canonical(section_of(name)), "--seed", "0", *loop, *options),
        reads=reads, out=out, writes=writes, state=state,
    )  # fmt: skip


def section_of(verb: str) -> BaseModel:
    return SETTINGS.rl["ehull"] if verb == "rl" else getattr(SETTINGS, verb)


def files(folder: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


def sample(policy: str, folder: str) -> Job:
    shard = f"results/sample/{policy}/shard-0000"
    return job(
        f"sample {policy}",
        *("--settings", canonical(SETTINGS.sample, without=["count"]), "--seed", "0"),
        *("--policy", folder, "--name", policy, "--shard", "0"),
        reads=files(folder, POLICY),
        out=f"{shard}.parquet",
        writes=("shard-0000.parquet", "shard-0000.provenance.json"),
    )


def relax(policy: str) -> Job:
    shard, journal = f"{policy}/shard-0000", f"checkpoints/relax/{policy}.journal"
    return job(
        f"relax {policy}",
        *("--settings", canonical(SETTINGS.relax), "--journal", journal),
        *("--sample", f"results/sample/{shard}.parquet"),
        reads=(f"results/sample/{shard}.parquet",),
        out=f"results/relax/{shard}.parquet",
        writes=("shard-0000.parquet", "shard-0000.provenance.json"),
        state=journal,
    )


STRUCTURES = "results/dataset/structures.parquet"
KNOWN = "results/known/known.parquet"
ENERGIES = tuple(f"results/energies/shard-{number:04d}" for number in range(2))


def energies(number: int) -> Job:
    cache, out = "checkpoints/energies", f"{ENERGIES[number]}.parquet"
    return job(
        f"energies {number}",
        *("--potential", SETTINGS.hull.potential, "--structures", STRUCTURES),
        *("--shard", f"{number}", "--shards", f"{len(ENERGIES)}", "--cache", cache),
        reads=(STRUCTURES,),
        out=out,
        writes=(Path(out).name, Path(out).with_suffix(".provenance.json").name),
        state=cache,
    )


HULL = files("results/hull", ("hull.parquet", "elements.json", "hull.json"))
JUDGED = {"base": "results/pretrain", "sft": "results/sft", "rl-ehull": "results/rl-ehull"}
SHARDS = {
    stage: tuple(f"results/{stage}/{policy}/shard-0000" for policy in JUDGED)
    for stage in ("sample", "relax", "assess")
}


def counts(stage: str) -> tuple[str, ...]:
    return tuple(f"results/{stage}/{policy}:1" for policy in JUDGED)


def known() -> Job:
    return job(
        "known",
        *("--structures", STRUCTURES),
        reads=(STRUCTURES,),
        out=KNOWN,
        writes=("known.parquet", "known.provenance.json"),
    )


def assess(policy: str) -> Job:
    shard, journal = f"{policy}/shard-0000", f"checkpoints/assess/{policy}.journal"
    sample, relaxed = (f"results/{stage}/{shard}.parquet" for stage in ("sample", "relax"))
    return job(
        f"assess {policy}",
        *("--settings", canonical(SETTINGS.evaluate), "--policy", policy, "--journal", journal),
        *("--sample", sample, "--relaxed", relaxed),
        *("--hull", "results/hull", "--structures", STRUCTURES, "--known", KNOWN),
        reads=(sample, relaxed, STRUCTURES, KNOWN, *HULL),
        out=f"results/assess/{shard}.parquet",
        writes=("shard-0000.parquet", "shard-0000.provenance.json"),
        state=journal,
    )


def evaluate() -> Job:
    shards = [f"{policy}={part}" for policy, part in zip(JUDGED, counts("assess"), strict=True)]
    return job(
        "evaluate",
        *("--settings", canonical(SETTINGS.evaluate), "--assessed", *shards),
        *("--training", f"results/tokenize/{TOKENS[0]}", "--known", KNOWN),
        reads=(
            f"results/tokenize/{TOKENS[0]}",
            KNOWN,
            *(f"{shard}.parquet" for shard in SHARDS["assess"]),
        ),
        out="results/evaluate",
        writes=("structures.parquet", "summary.json", "provenance.json"),
    )


def report() -> Job:
    stages = ("dataset", "hull", "tokenize", "pretrain", "sft", "rl-ehull", "evaluate")
    records = [f"results/{stage}/provenance.json" for stage in stages]
    histories = {policy: f"{folder}/history.parquet" for policy, folder in JUDGED.items()}
    return job(
        "report",
        *("--settings", canonical(SETTINGS.report), "--config", canonical(SETTINGS)),
        *("--evaluation", "results/evaluate", "--provenance", *records),
        *("--histories", *(f"{policy}={path}" for policy, path in histories.items())),
        *("--shards", "results/energies:2"),
        *(count for stage in SHARDS for count in counts(stage)),
        reads=(
            *files("results/evaluate", ("structures.parquet", "summary.json")),
            *histories.values(), *records,
            *(f"{shard}.provenance.json" for shard in ENERGIES),
            *(f"{shard}.provenance.json" for part in SHARDS.values() for shard in part),
        ),
        out="results/report",
        writes=("index.html", "figures", "tables", "provenance.json"),
    )  # fmt: skip


JOBS = (
    job(
        "dataset",
        *("--settings", canonical(SETTINGS.dataset)),
        reads=("resources/crystals.parquet",),
        out="results/dataset",
        writes=("structures.parquet", "rejected.parquet", "provenance.json"),
    ),
    job(
        "tokenize",
        *("--settings", canonical(SETTINGS.tokenize), "--structures", STRUCTURES),
        *("--processes", "2"),
        reads=(STRUCTURES,),
        out="results/tokenize",
        writes=(*TOKENS, "rejected.parquet", "space_groups.json", "provenance.json"),
    ),
    energies(0),
    energies(1),
    job(
        "hull",
        *("--settings", canonical(SETTINGS.hull), "--structures", STRUCTURES),
        *("--elements", "resources/elements.json", "--energies", "results/energies:2"),
        reads=(
            STRUCTURES,
            "resources/elements.json",
            *(f"{shard}.parquet" for shard in ENERGIES),
        ),
        out="results/hull",
        writes=(
            "hull.parquet",
            "rejected.parquet",
            "elements.json",
            "hull.json",
            "provenance.json",
        ),
    ),
    training(
        "pretrain",
        *("--model", canonical(SETTINGS.model), "--tokens", "results/tokenize"),
        reads=files("results/tokenize", TOKENS[:2]),
        out=JUDGED["base"],
    ),
    sample("base", JUDGED["base"]),
    relax("base"),
    training(
        "sft",
        *("--policy", JUDGED["base"], "--relaxed", "results/relax/base:1"),
        *("--hull", "results/hull"),
        reads=(*files(JUDGED["base"], POLICY), f"{SHARDS['relax'][0]}.parquet", *HULL),
        out=JUDGED["sft"],
    ),
    training(
        "rl",
        *("--policy", JUDGED["base"], "--base", JUDGED["base"], "--hull", "results/hull"),
        *("--round", "1", "--name", "ehull"),
        reads=(*files(JUDGED["base"], POLICY), *HULL),
        out=JUDGED["rl-ehull"],
        writes=(*POLICY, "state.json", "crystals.parquet", *TRAINED[len(POLICY) :]),
    ),
    sample("sft", JUDGED["sft"]),
    relax("sft"),
    sample("rl-ehull", JUDGED["rl-ehull"]),
    relax("rl-ehull"),
    known(),
    *(assess(policy) for policy in JUDGED),
    evaluate(),
    report(),
)


def prepare(folder: Path) -> None:
    """Put into ``folder`` what the first jobs read."""
    shipped, resources = REPOSITORY / "resources", folder / "resources"
    resources.mkdir(parents=True)
    crystals = read_table(shipped / "mp20/crystals.parquet")
    # Every second energy is known.
    crystals.loc[::2, energy_column(SETTINGS.hull.potential)] = None
    write_table(resources / "crystals.parquet", crystals)
    elements = f"elements/{SETTINGS.hull.potential}.json"
    shutil.copy(shipped / elements, resources / "elements.json")
