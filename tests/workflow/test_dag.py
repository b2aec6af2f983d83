"""What a dry run plans: the default, the overlays, a cluster."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import yte
from helpers.copies import REPOSITORY, Copy, messages
from snakemake.utils import update_config

from crystalformer_rl.config import Config, RLSettings, read
from crystalformer_rl.files import write_tensors

PROFILES = REPOSITORY / "workflow/profiles"
CPU_RULES = {
    "dataset", "hull", "judge_hull", "comparison_hull", "tokenize", "known", "assess", "evaluate",
    "report",
}  # fmt: skip
GPU_RULES = {
    "elements", "energies", "pretrain", "sft", "rl", "sample", "relax", "judge", "judge_elements",
    "judge_energies",
}  # fmt: skip


def counts(output: str) -> dict[str, int]:
    """The table of jobs of a dry run."""
    table = output.partition("Job stats:")[2].partition("total")[0]
    return {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def settings_with(overlays: Sequence[str]) -> Config:
    """The settings that snakemake makes of config.yaml and overlays."""
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    for name in overlays:
        update_config(config, yaml.safe_load((REPOSITORY / f"config/{name}.yaml").read_text()))
    return read(config)


@pytest.mark.parametrize(
    ("overlays", "downloads"),
    [
        ([], 0),
        (["smoke"], 0),
        (["mp20"], 3),
        (["dielectric"], 0),
        (["mp20", "dielectric"], 3),
        (["novel"], 0),
        (["mp20", "novel"], 3),
    ],
)
def test_overlays(copy: Copy, overlays: Sequence[str], downloads: int) -> None:
    words = ["--configfile", *(f"config/{name}.yaml" for name in overlays)] if overlays else []
    planned = counts(copy.snakemake("--dry-run", "--quiet", "rules", *words))
    settings = settings_with(overlays)
    judged = settings.sample.count // settings.sample.shard_size
    of_base = max(judged, settings.sft.samples // settings.sample.shard_size)
    shards = of_base + judged * (1 + len(settings.rl))
    again = -(-(settings.judge.count or settings.sample.count) // settings.sample.shard_size)
    stages = (
        "dataset", "energies", "hull", "judge_energies", "judge_hull", "tokenize", "known",
        "pretrain", "sft", "evaluate", "report", "all",
    )  # fmt: skip
    assert planned == dict.fromkeys(stages, 1) | {
        "rl": sum(branch.rounds for branch in settings.rl.values()),
        "sample": shards,
        "relax": shards,
        "assess": judged * (2 + len(settings.rl)),
        "judge": again * (2 + len(settings.rl)),
        **({"download": downloads} if downloads else {}),
        **({"comparison_hull": 1} if settings.comparison_hull.files else {}),
    }


@pytest.mark.parametrize("overlays", [["paper"], ["mp20", "paper"]])
def test_the_paper_overlay_leaves_no_value_of_config_yaml(overlays: Sequence[str]) -> None:
    """Except those that are not the algorithm, and the weight of the penalty in eV."""
    free = {"rounds", "steps", "batch_size", "tau", "memory"}
    for branch in settings_with(overlays).rl.values():
        least = 12 if "mp20" in overlays else None
        reward = {"kind": branch.reward.kind, "min_references": least}
        paper = RLSettings.model_validate({"preset": "paper", "reward": reward})
        assert branch.model_dump(exclude=free) == paper.model_dump(exclude=free)
        assert (branch.memory.by, branch.memory.known) == (None, 1)


def test_a_combination_reads_what_its_parts_read(copy: Copy) -> None:
    words = ("--dry-run", "--printshellcmds", "--configfile", "config/novel.yaml")
    output = copy.snakemake(*words)
    first, second = re.findall(r"\brl --log-file .*", output)
    for command in (first, second):
        assert "--hull results/novel/hull --known results/novel/dataset/structures.parq" in command
        assert '"how": "product"' in command
        assert "--trust-code" not in command
    default = copy.snakemake("--dry-run", "--printshellcmds")
    for command in re.findall(r"\brl --log-file .*", default):
        # The memory of one branch discounts what the dataset has.
        assert ("--known results/default/dataset" in command) == ("rl-ehull" in command)


def test_a_file_in_a_combination_is_checked_before_anything_runs(copy: Copy) -> None:
    part = "{reward: {kind: file, path: my.py}, minimum: 0, maximum: 1}"
    overlay = copy.folder / "both.yaml"
    reward = f"{{kind: combine, how: sum, parts: {{mine: {part}}}}}"
    overlay.write_text(f"jobs: {{trust_code: true}}\nrl: {{both: {{reward: {reward}}}}}\n")
    words = ("--dry-run", "--printshellcmds", "--configfile", "both.yaml")
    refused = copy.snakemake(*words, check=False)
    assert "rl.both.reward.parts.mine.reward.path = my.py: no such file" in refused
    (copy.folder / "my.py").write_text("def score(structures): return []\n")
    commands = re.findall(r"\brl --log-file .*--name both .*", copy.snakemake(*words))
    assert len(commands) == 2
    assert all("--trust-code" in command for command in commands)


def test_data_to_be_put_in_place_by_hand(copy: Copy) -> None:
    own = "dataset={sources: {train: null, val: null, test: null, all: data/alexandria}}"
    words = ("--configfile", "config/alex20.yaml", "--config", own)
    output = copy.snakemake("--dry-run", *words, check=False)
    assert "dataset.sources.all = data/alexandria: no such file or folder" in output
    assert "a table with the columns material_id and cif" in output
    assert "where its crystals come from (config/alex20.yaml)" in output
    (copy.folder / "data/alexandria").mkdir(parents=True)
    (copy.folder / "data/alexandria/a.json").write_text('{"entries": []}')
    planned = copy.planned(*words)
    assert "Pretraining" in planned
    assert "Downloading" not in planned
    assert "Downloading alex_20/train.csv" in copy.planned("--configfile", "config/alex20.yaml")


def test_own_files_instead_of_the_download(copy: Copy) -> None:
    for split in ("train", "val", "test"):
        (copy.folder / f"{split}.csv").write_text("material_id,cif\n")
    own = "dataset={sources: {train: train.csv, val: val.csv, test: test.csv}}"
    planned = copy.planned("--configfile", "config/mp20.yaml", "--config", own)
    assert not any(job.startswith("Downloading") for job in planned)
    assert "Reading the crystals of train.csv val.csv test.csv" in planned


def test_a_finished_policy_takes_the_place_of_pretraining(copy: Copy) -> None:
    for folder in ("mine", "resources/pretrained/shipped"):
        (copy.folder / folder).mkdir(parents=True)
        write_tensors(copy.folder / folder / "model.safetensors", {"weight": np.zeros(1)})
        about = copy.folder / folder / "model.json"
        about.write_text('{"space_group_counts": [0, 1]}')
        output = copy.snakemake("--dry-run", "--config", f"base_policy={Path(folder).name}")
        planned = counts(output)
        assert "pretrain" not in planned
        assert planned["sft"] == 1
        assert planned["rl"] == 4
    refused = copy.snakemake("--dry-run", "--config", "base_policy=nowhere", check=False)
    assert "base_policy = nowhere: policy 'nowhere': no folder with model.safetensors" in refused
    assert re.search(r"which has .*shipped", refused)
    about.write_text('{"space_group_counts": [0, 0]}')
    refused = copy.snakemake("--dry-run", "--config", "base_policy=shipped", check=False)
    assert "base_policy = shipped: the policy has no histogram of space groups, by which" in refused


def test_pretraining_continues_from_a_policy(copy: Copy) -> None:
    (copy.folder / "mine").mkdir()
    write_tensors(copy.folder / "mine/model.safetensors", {"weight": np.zeros(1)})
    (copy.folder / "mine/model.json").write_text('{"space_group_counts": [0, 0]}')
    output = copy.snakemake("--dry-run", "--printshellcmds", "--config", "pretrain={start: mine}")
    assert counts(output)["pretrain"] == 1
    assert "--tokens results/default/tokenize --start mine --checkpoints" in output
    refused = copy.snakemake("--dry-run", "--config", "pretrain={start: nowhere}", check=False)
    assert "pretrain.start = nowhere: policy 'nowhere': no folder with" in refused


def test_another_potential_brings_elements_of_its_own(copy: Copy) -> None:
    own = {"potential": "sevennet:7net-l3i5"}
    overlay = copy.folder / "own.yaml"
    # The figure of merit knows the features of CHGNet alone.
    rl = {"ehull": {"reward": own}, "fom": None}
    overlay.write_text(yaml.safe_dump({"hull": own, "relax": own, "rl": rl}))
    output = copy.snakemake("--dry-run", "--printshellcmds", "--configfile", "own.yaml")
    assert counts(output)["elements"] == counts(output)["hull"] == 1
    assert "--elements results/default/elements/elements.json" in output
    overlay.write_text(yaml.safe_dump({"hull": own, "relax": own, "rl": {"fom": None}}))
    refused = copy.snakemake("--dry-run", "--configfile", "own.yaml", check=False)
    assert "rl.ehull.reward.potential = chgnet must be hull.potential = sevennet:7" in refused


def test_crystals_of_another_generator_join_at_relax(copy: Copy) -> None:
    theirs = copy.folder / "theirs.extxyz"
    theirs.write_text("")
    external = ("--config", "external={theirs: theirs.extxyz}")
    planned = copy.planned(*external)
    added = planned - copy.planned()
    shards = Config().sample.count // Config().sample.shard_size
    relaxed = {f"Relaxing theirs, shard {number:04d}" for number in range(shards)}
    assert relaxed | {"Reading the crystals of theirs"} <= added
    assert {job for job in added if "theirs" not in job} == set()
    output = copy.snakemake("--dry-run", "--printshellcmds", *external)
    (evaluation,) = re.findall(r".*crystalformer_rl evaluate .*", output)
    assert f"theirs=results/default/assess/theirs:{shards}" in evaluation


def test_a_judge_relaxes_the_same_samples_on_a_hull_of_its_own(copy: Copy) -> None:
    without = copy.planned("--config", "judge={potential: null}")
    another = "judge={potential: 'sevennet:7net-l3i5', count: 101}"
    judge = ("--config", another, "hull={exclude_ytterbium: false}")
    output = copy.snakemake("--dry-run", "--printshellcmds", *judge)
    planned = messages(output)
    assert without <= planned
    policies = ["base", "sft", *(f"rl-{name}" for name in Config().rl)]
    # 101 crystals are two shards of 100.
    assert planned - without == {
        "Relaxing the elements with sevennet:7net-l3i5",
        "Computing energies for the judge's hull, shard 0000",
        "Building the judge's convex hull",
        *(
            f"Relaxing {policy}, shard {number:04d}, with the judge's potential"
            for policy in policies
            for number in (0, 1)
        ),
    }
    (hull,) = re.findall(r"crystalformer_rl hull .*judge/hull$", output, flags=re.MULTILINE)
    assert '"exclude_ytterbium": false' in hull
    assert '"potential": "sevennet:7net-l3i5", "reference": "dataset"' in hull
    assert "--elements results/default/judge/elements/elements.json" in hull
    assert "--energies results/default/judge/energies:1 --out" in hull
    (energies,) = re.findall(r"crystalformer_rl energies .*judge/energies/shard-0000.*", output)
    assert "--potential sevennet:7net-l3i5 --structures results/default/dataset" in energies
    assert "--cache results/default/cache/judge/energies " in energies
    (relaxation,) = re.findall(r"crystalformer_rl relax .*judge/relax/base/.*0000.p.*", output)
    assert '"potential": "sevennet:7net-l3i5"' in relaxation
    assert "--sample results/default/sample/base/shard-0000.parquet" in relaxation
    evaluations = re.findall(r"crystalformer_rl assess .*/base/.*", output)
    assert len(evaluations) > 2
    for number, evaluation in enumerate(sorted(evaluations)):
        shard = f"base/shard-{number:04d}.parquet"
        assert f"--relaxed results/default/relax/{shard} " in evaluation
        of_judge = "--judge-hull results/default/judge/hull --judged results/default/judge/relax/"
        assert (
            (f"{of_judge}{shard}" in evaluation) == ("--judge-hull" in evaluation) == (number < 2)
        )
    (page,) = re.findall(r"crystalformer_rl report .*", output)
    assert "results/default/judge/relax/base:2" in page
    assert "results/default/judge/hull/provenance.json" in page
    assert "rl-ehull=results/default/rl-ehull/round-1/crystals.parquet" in page


def test_energies_of_the_elements_of_the_default_judge_come_with_the_project(copy: Copy) -> None:
    output = copy.snakemake("--dry-run", "--printshellcmds")
    assert {"elements", "judge_elements"}.isdisjoint(counts(output))
    (hull,) = re.findall(r"crystalformer_rl hull .*judge/hull$", output, flags=re.MULTILINE)
    assert "resources/elements/sevennet.json" in hull


def test_a_comparison_hull_is_made_of_files(copy: Copy) -> None:
    none = "comparison_hull={files: []}"
    assert "comparison_hull" not in counts(copy.snakemake("--dry-run", "--config", none))
    (copy.folder / "my hull.csv").write_text("formula,formation_energy_per_atom\n")
    files = "comparison_hull={files: ['my hull.csv']}"
    output = copy.snakemake("--dry-run", "--printshellcmds", "--config", files)
    assert counts(output)["comparison_hull"] == 1
    (hull,) = re.findall(r"crystalformer_rl hull .*comparison/hull$", output, flags=re.MULTILINE)
    assert '"files": ["my hull.csv"]' in hull
    assert '"reference": "csv"' in hull
    evaluations = re.findall(r"crystalformer_rl assess .*", output)
    assert evaluations
    for evaluation in evaluations:
        assert "--comparison-hull results/default/comparison/hull" in evaluation
    missing = "comparison_hull={files: [nowhere.csv]}"
    refused = copy.snakemake("--dry-run", "--config", missing, check=False)
    assert "comparison_hull.files = nowhere.csv: no such file or folder" in refused


@pytest.mark.parametrize(
    "words", [[], ["--slurm-status-command=squeue", "--slurm-array-jobs=sample,relax,assess"]]
)
def test_a_cluster_gets_gpu_jobs_of_sane_size(copy: Copy, words: Sequence[str]) -> None:
    jobs = copy.requested("--profile", "slurm", *words)
    assert len(jobs) > 30
    for rule, resources in jobs:
        assert 4000 <= resources["mem_mb"] <= 64000, rule
        assert 60 <= resources["runtime"] <= 24 * 60, rule
        assert rule in CPU_RULES | GPU_RULES
        assert resources.get("gpu", 0) == (rule in GPU_RULES), rule


def memory(copy: Copy, *words: str) -> dict[str, int]:
    """Megabytes that the jobs of each rule ask for."""
    jobs = copy.requested("--profile", "slurm", *words)
    sizes = {(rule, resources["mem_mb"]) for rule, resources in jobs}
    assert len(sizes) == len(dict(sizes))
    return dict(sizes)


def test_memory_grows_with_the_attempt_and_that_of_gpu_jobs_once(copy: Copy) -> None:
    """Most attempts of a long training are used up by its time limit."""
    first, second, last = (memory(copy, "--attempt", number) for number in ("1", "2", "6"))
    assert first["pretrain"] == 64000
    assert second == {rule: 2 * size for rule, size in first.items()}
    on_gpu = GPU_RULES & first.keys()
    assert len(on_gpu) > 5
    assert all(last[rule] == second[rule] for rule in on_gpu)


def test_every_process_of_the_join_brings_its_memory(copy: Copy) -> None:
    asked = [memory(copy, "--set-threads", f"evaluate={number}") for number in (8, 16)]
    assert [size["evaluate"] for size in asked] == [12000, 20000]


def test_energies_go_out_in_as_many_jobs_as_the_setting_says(copy: Copy) -> None:
    output = copy.snakemake("--dry-run", "--printshellcmds", "--config", "hull={shards: 3}")
    planned = counts(output)
    assert (planned["energies"], planned["judge_energies"]) == (3, 3)
    jobs = re.findall(r"--shard (\d+) --shards 3 --cache \S+/default/cache/energies ", output)
    assert sorted(jobs) == ["0000", "0001", "0002"]
    (hull,) = re.findall(r"crystalformer_rl hull .*default/hull$", output, flags=re.MULTILINE)
    assert "--energies results/default/energies:3 --out" in hull
    # It decides how many jobs there are and not what a hull is.
    assert "shards" not in hull
    (page,) = re.findall(r"crystalformer_rl report .*", output)
    assert "--shards results/default/energies:3 results/default/judge/energies:3 " in page


def test_a_hull_from_files_needs_no_energies_of_crystals(copy: Copy) -> None:
    (copy.folder / "known.csv").touch()
    from_files = "hull={reference: csv, files: [known.csv]}"
    output = copy.snakemake("--dry-run", "--printshellcmds", "--config", from_files)
    planned = counts(output)
    assert "energies" not in planned
    assert planned["judge_energies"] == planned["hull"] == 1
    (hull,) = re.findall(r"crystalformer_rl hull .*default/hull$", output, flags=re.MULTILINE)
    assert "--energies" not in hull


@pytest.mark.parametrize("request_line", ["gpu: 1, gpu_model: h200", 'gres: "gpu:1"'])
def test_every_way_to_ask_for_a_gpu_is_set_in_one_place(request_line: str) -> None:
    text = (PROFILES / "slurm/config.v8+.yaml").read_text()
    line = "  gpu: {slurm_partition: gpu, gpu: 1}\n"
    assert text.count(line) == 1
    site = f"  gpu: {{slurm_partition: big, {request_line}}}\n"
    rules = yte.process_yaml(text.replace(line, site), require_use_yte=True)["set-resources"]
    asked = yaml.safe_load(f"{{slurm_partition: big, {request_line}}}")
    for rule in rules.values():
        assert asked.items() <= rule.items()


@pytest.mark.parametrize(
    ("words", "variable", "cluster"),
    [
        ([], "", False),
        (["results/slurm/report/index.html", "--configfile", "slurm.yaml"], "", False),
        (["--profile", "mine/of-slurm-times/local"], "", False),
        (["--profile", "slurm"], "", True),
        (["--profile=slurm", "-n"], "", True),
        (["--profile", "mine", "--profile", "slurm/config.v8+.yaml"], "", True),
        (["--executor", "slurm"], "", True),
        (["-e", "slurm", "all"], "", True),
        ([], "slurm", True),
        (["--profile", "mine"], "slurm", False),
    ],
)
def test_all_cores_unless_the_jobs_run_on_a_cluster(
    monkeypatch: pytest.MonkeyPatch, words: list[str], variable: str, cluster: bool
) -> None:
    monkeypatch.setattr("sys.argv", ["snakemake", *words])
    monkeypatch.setenv("SNAKEMAKE_PROFILE", variable)
    profile = yte.process_yaml(
        (PROFILES / "default/config.v8+.yaml").read_text(), require_use_yte=True
    )
    assert ("cores" in profile) != cluster


def test_job_settings_are_arguments_of_the_stages_that_use_them(copy: Copy) -> None:
    jobs = "jobs={checkpoint_minutes: 7, tensorboard: true, trust_pickles: true}"
    output = copy.snakemake("--dry-run", "--printshellcmds", "--config", jobs)
    commands = re.findall(r"python -m crystalformer_rl(?:\.jobs\.launch 1 1)? (\w+) (.+)", output)
    trainings, loading = {"pretrain", "sft", "rl"}, {"energies", "relax", "rl"}
    assert {verb for verb, _ in commands} > trainings | loading
    for verb, words in commands:
        assert ("--checkpoint-minutes 7 --tensorboard logs/default/" in words) == (
            verb in trainings
        )
        assert ("--trust-pickles" in words) == (verb in loading)
    assert "--tensorboard logs/default/rl-ehull/round-2 " in output


def test_no_gpu_is_asked_for_on_this_machine(copy: Copy) -> None:
    assert {resources.get("gpu", 0) for _, resources in copy.requested()} == {0}
