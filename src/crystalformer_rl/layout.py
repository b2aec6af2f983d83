"""The paths of the files of a run, for the rules and the stages.

A shard is ``<stage>/<policy>/shard-0003.parquet``, with ``shard-0003.provenance.json`` next to it.
On a command line the shards of a policy are ``FOLDER:COUNT``, since thousands of paths do not fit.

What lets an interrupted job continue is under ``checkpoints/``, at the path of its results, because
Snakemake deletes the results before it starts a job again: ``checkpoints/pretrain`` belongs to
``pretrain/provenance.json``, ``checkpoints/relax/base/shard-0003.journal`` to
``relax/base/shard-0003.provenance.json``.
"""

import argparse
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from crystalformer_rl.config import Config
from crystalformer_rl.files import write_json

RESULTS = "results"
CHECKPOINTS = "checkpoints"
CACHE = "cache"
WEIGHTS = "model.safetensors"
STATE = "state.json"
CRYSTALS = "crystals.parquet"
SETTINGS = "settings.json"


@dataclass(frozen=True)
class Layout:
    """The files of one run; all paths are relative to the working directory.

    Attributes
    ----------
    config
        The configuration of the run.
    base_policy
        Folder of the finished policy that takes the place of pretraining; None: it is pretrained.
    """

    config: Config
    base_policy: str | None = None

    @property
    def results(self) -> str:
        """The folder of the results."""
        return f"{RESULTS}/{self.config.run}"

    @property
    def logs(self) -> str:
        """The folder of the logs."""
        return f"logs/{self.config.run}"

    @property
    def own_policies(self) -> list[str]:
        """The policies that this run trains: base, sft and one for each branch of RL."""
        return ["base", "sft", *(f"rl-{branch}" for branch in self.config.rl)]

    @property
    def policies(self) -> list[str]:
        """The sets of crystals to compare: the policies of this run, and other generators."""
        return [*self.own_policies, *self.config.external]

    @property
    def intermediate(self) -> dict[str, str]:
        """Policies between the rounds of iterated SFT, whose samples the next round learns from.

        Each with the folder of its training. They are sampled and relaxed but not compared.
        """
        return {
            after_round(branch, number): f"{self.results}/rl-{branch}/round-{number}"
            for branch, settings in self.config.rl.items()
            if settings.algorithm == "sft"
            for number in range(1, settings.rounds)
        }

    def trainings(self, policy: str) -> list[str]:
        """Folders of a policy's own trainings, in order: one, or one for each round of a branch.

        Raises
        ------
        ValueError
            If the run has no such policy.
        """
        if policy in self.intermediate:
            return [self.intermediate[policy]]
        if policy not in self.own_policies:
            known = ", ".join(self.own_policies)
            raise ValueError(f"unknown policy {policy!r}: this run has {known}")
        if policy == "base":
            return [] if self.base_policy else [f"{self.results}/pretrain"]
        if policy == "sft":
            return [f"{self.results}/sft"]
        rounds = self.config.rl[policy.removeprefix("rl-")].rounds
        return [f"{self.results}/{policy}/round-{number}" for number in range(1, rounds + 1)]

    def trained(self, file: str) -> list[tuple[str, str]]:
        """One file of every training, each with its policy."""
        return [
            (policy, f"{folder}/{file}")
            for policy in self.own_policies
            for folder in self.trainings(policy)
        ]

    @property
    def sampled_in_rl(self) -> list[tuple[str, str]]:
        """The crystals of every round of RL, each with its policy; iterated SFT keeps none."""
        return [
            (f"rl-{branch}", f"{self.results}/rl-{branch}/round-{number}/{CRYSTALS}")
            for branch, settings in self.config.rl.items()
            if settings.algorithm != "sft"
            for number in range(1, settings.rounds + 1)
        ]

    def weights(self, policy: str) -> str:
        """The weights of a policy: after its last training, or of the given base policy."""
        folders = self.trainings(policy)
        return f"{folders[-1] if folders else self.base_policy}/{WEIGHTS}"

    def start(self, branch: str, round_number: int) -> str:
        """The weights that a round of RL starts from: of the round before, or of another policy."""
        settings = self.config.rl[branch]
        from_start = settings.sft is not None and settings.sft.weights == "start"
        if round_number == 1 or from_start:
            return self.weights(settings.start)
        return f"{self.results}/rl-{branch}/round-{round_number - 1}/{WEIGHTS}"

    def state(self, branch: str, round_number: int) -> list[str]:
        """The file that a round of RL takes over with the weights of the previous one, if any."""
        if round_number == 1:
            return []
        return [f"{self.results}/rl-{branch}/round-{round_number - 1}/{STATE}"]

    def earlier_crystals(self, branch: str, round_number: int) -> list[str]:
        """The crystals of the rounds before, from which a round of RL knows what was sampled."""
        folder = f"{self.results}/rl-{branch}"
        return [f"{folder}/round-{number}/{CRYSTALS}" for number in range(1, round_number)]

    def teacher(self, branch: str, round_number: int) -> str:
        """The policy from whose relaxed samples a round of iterated SFT learns."""
        if round_number == 1:
            return self.config.rl[branch].start
        return after_round(branch, round_number - 1)

    def branches(self, *algorithms: str) -> str:
        """Regular expression of the branches with one of these algorithms; of nothing if none."""
        return one_of(n for n, one in self.config.rl.items() if one.algorithm in algorithms)

    @property
    def external(self) -> str:
        """Regular expression of the names of other generators; of nothing if there are none."""
        return one_of(self.config.external)

    def checkpoints(self, training: str) -> str:
        """The folder of a training's checkpoints; ``training`` is its folder within the run."""
        return f"{self.results}/{CHECKPOINTS}/{training}"

    def journal(self, shard: str) -> str:
        """The journal of a shard; ``shard`` is its path within the run, without the suffix."""
        return f"{self.results}/{CHECKPOINTS}/{shard}.journal"

    def cache(self, stage: str) -> str:
        """The folder of what a stage has computed, for later runs of its jobs."""
        return f"{self.results}/{CACHE}/{stage}"

    def energies(self, stage: str, suffix: str = "parquet") -> list[str]:
        """The shards of ``energies`` or ``judge/energies``, if that hull is of the dataset."""
        folder = f"{self.results}/{stage}"
        return [
            f"{folder}/{shard_name(number, suffix)}" for number in range(self._energy_shards(stage))
        ]

    def energies_count(self, stage: str) -> list[str]:
        """The same shards for a command line: FOLDER:COUNT, or nothing."""
        count = self._energy_shards(stage)
        return [f"{self.results}/{stage}:{count}"] if count else []

    def shards(self, stage: str, policy: str, count: int, suffix: str = "parquet") -> list[str]:
        """The shards with the first ``count`` crystals of a policy."""
        folder = f"{self.results}/{stage}/{policy}"
        return [
            f"{folder}/{shard_name(number, suffix)}" for number in range(self._shard_number(count))
        ]

    def shard_count(self, stage: str, policy: str, count: int) -> str:
        """The same shards for a command line, see :func:`shards`."""
        return f"{self.results}/{stage}/{policy}:{self._shard_number(count)}"

    def evaluated(self, stage: str, suffix: str = "parquet") -> list[str]:
        """The shards of ``sample``, ``relax``, ``judge/relax`` or ``assess`` of the comparison."""
        count = self._evaluated_count(stage)
        return [
            path for policy in self.policies for path in self.shards(stage, policy, count, suffix)
        ]

    def evaluated_counts(self, stage: str) -> dict[str, str]:
        """The same shards for a command line, by policy; empty where there is no judge."""
        count = self._evaluated_count(stage)
        return {policy: self.shard_count(stage, policy, count) for policy in self.policies if count}

    def judged(self, policy: str, number: int) -> list[str]:
        """The shard as relaxed by the judge: one file, or none if the judge does not see it."""
        if number >= self._shard_number(self._evaluated_count("judge/relax")):
            return []
        return [f"{self.results}/judge/relax/{policy}/{shard_name(number, 'parquet')}"]

    @property
    def comparison_hull(self) -> str | None:
        """The folder of the hull for comparison, if the configuration names files for it."""
        return f"{self.results}/comparison/hull" if self.config.comparison_hull.files else None

    @property
    def judge_hull(self) -> str | None:
        """The folder of the judge's hull, if there is a judge."""
        return f"{self.results}/judge/hull" if self.config.judge.potential is not None else None

    def other_hulls(self, *files: str, number: int = 0) -> list[str]:
        """Files of the comparison hull and of the judge's hull, as far as there are such.

        That of the judge only if it sees the shard with this number; it sees the first.
        """
        judge = self.judge_hull if self.judged("base", number) else None
        folders = [self.comparison_hull, judge]
        return [f"{folder}/{file}" for folder in folders if folder for file in files]

    def other_hull_arguments(self, policy: str, number: int) -> list[str]:
        """The arguments of ``assess`` that name these hulls and the judge's shard."""
        words = []
        if self.comparison_hull:
            words += ["--comparison-hull", self.comparison_hull]
        if self.judge_hull and (judged := self.judged(policy, number)):
            words += ["--judge-hull", self.judge_hull, "--judged", *judged]
        return words

    def _energy_shards(self, stage: str) -> int:
        hull, judge = self.config.hull, self.config.judge
        needed = judge.potential is not None if stage.startswith("judge/") else not hull.files
        return hull.shards if needed else 0

    def _evaluated_count(self, stage: str) -> int:
        """Crystals of each policy; the judge sees whole shards."""
        total = self.config.sample.count
        if stage != "judge/relax":
            return total
        if self.config.judge.potential is None:
            return 0
        size = self.config.sample.shard_size
        return min(-(-(self.config.judge.count or total) // size) * size, total)

    def _shard_number(self, count: int) -> int:
        return count // self.config.sample.shard_size


def write_settings(run: Path, layout: Layout) -> None:
    """Write the settings that the run was started with into its folder, for tools."""
    config = layout.config.model_dump(mode="json")
    write_json(run / SETTINGS, {"config": config, "base_policy": layout.base_policy})


def started_runs() -> list[Path]:
    """The settings of the runs in the working directory, that of the newest one last."""
    found = Path(RESULTS).glob(f"*/{SETTINGS}")
    return sorted(found, key=lambda path: path.stat().st_mtime)


def one_of(names: Iterable[str]) -> str:
    """Regular expression of any of these names, of nothing if there are none.

    >>> one_of(["a", "b"]), one_of([])
    ('a|b', '(?!)')
    """
    return "|".join(map(re.escape, names)) or "(?!)"


def after_round(branch: str, round_number: int) -> str:
    """The name of the policy of a branch after one of its rounds.

    >>> after_round("mine", 2)
    'rl-mine-round-2'
    """
    return f"rl-{branch}-round-{round_number}"


def shard_name(number: int, suffix: str) -> str:
    """The file name of a shard.

    >>> shard_name(3, "provenance.json")
    'shard-0003.provenance.json'
    """
    return f"shard-{number:04d}.{suffix}"


def shards(text: str, *, suffix: str = "parquet") -> list[Path]:
    """The first COUNT shards of ``FOLDER:COUNT``; for argparse.

    >>> [path.name for path in shards("results/default/sample/base:2")]
    ['shard-0000.parquet', 'shard-0001.parquet']

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is not of that form, or the count not above 0.
    """
    folder, colon, count = text.rpartition(":")
    if not (folder and colon and count.isdecimal() and int(count) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} must be FOLDER:COUNT with a count above 0")
    return [Path(folder) / shard_name(number, suffix) for number in range(int(count))]


def provenance_of_shards(text: str) -> list[Path]:
    """The provenance files of the first COUNT shards of ``FOLDER:COUNT``."""
    return shards(text, suffix="provenance.json")


def shards_by_policy(text: str) -> list[tuple[str, Path]]:
    """The shards of ``POLICY=FOLDER:COUNT``, each with its policy."""
    policy, equals, rest = text.partition("=")
    if not (policy and equals):
        raise argparse.ArgumentTypeError(f"{text!r} must be POLICY=FOLDER:COUNT")
    return [(policy, path) for path in shards(rest)]
