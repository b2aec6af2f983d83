"""Branches of iterated SFT: each round is planned on samples of the policy before it."""

import yaml
from helpers.copies import Copy

OVERLAY = ("--configfile", "expert.yaml")
EXPERT = {"algorithm": "sft", "rounds": 2, "sft": {"samples": 100, "novel": True}}
MORE_ROUNDS = ("--config", "rl={expert: {rounds: 3}}")
END = {"Joining the evaluated structures", "Writing the report"}


def configure(copy: Copy, **branch: object) -> None:
    settings = {"rl": {"ehull": None, "fom": None, "expert": EXPERT | branch}}
    settings |= {"judge": {"potential": None}, "sample": {"count": 50, "shard_size": 50}}
    (copy.folder / "expert.yaml").write_text(yaml.safe_dump(settings))


def trained(*rounds: int) -> set[str]:
    return {f"Fine-tuning expert on relaxed samples, round {number}" for number in rounds}


def drawn(policy: str, shards: int) -> set[str]:
    verbs = ("Sampling", "Relaxing")
    return {f"{verb} {policy}, shard {k:04d}" for verb in verbs for k in range(shards)}


def test_rounds_and_the_samples_between_them(copy: Copy) -> None:
    configure(copy)
    planned = copy.planned("results/default/rl-expert/round-2/model.safetensors", *OVERLAY)
    assert drawn("base", 2) | drawn("rl-expert-round-1", 2) | trained(1, 2) <= planned
    assert not any("rl-expert," in job for job in planned)
    jobs = copy.requested("--profile", "slurm", *OVERLAY)
    rounds = [resources for rule, resources in jobs if rule == "sft_round"]
    assert len(rounds) == 2
    assert all(resources["gpu"] == 1 for resources in rounds)
    several = ("--set-resources", "sft_round:processes_per_node=2")
    output = copy.snakemake("--dry-run", "--printshellcmds", *OVERLAY, *several)
    (second,) = (line for line in output.splitlines() if " sft " in line and "--round 2" in line)
    assert "crystalformer_rl.jobs.launch 1 2 sft " in second
    assert "--policy results/default/rl-expert/round-1 " in second
    assert "--relaxed results/default/relax/rl-expert-round-1:2 " in second
    assert "--known results/default/dataset/structures.parquet " in second


def test_each_round_can_fine_tune_the_start_again(copy: Copy) -> None:
    configure(copy, start="sft", sft={"samples": 100, "weights": "start"})
    output = copy.snakemake("--dry-run", "--printshellcmds", *OVERLAY)
    first, second = (
        next(line for line in output.splitlines() if " sft " in line and f"--round {n}" in line)
        for n in (1, 2)
    )
    assert "--policy results/default/sft --relaxed results/default/relax/sft:2 " in first
    assert "--policy results/default/sft --relaxed results/default/relax/rl-expert-rou" in second
    assert "--known" not in first + second


def test_what_reruns_of_a_finished_branch(copy: Copy) -> None:
    configure(copy)
    copy.finish(*OVERLAY)
    assert copy.planned(*OVERLAY) == set()
    last = drawn("rl-expert", 1) | {"Evaluating rl-expert, shard 0000"}
    between = drawn("rl-expert-round-2", 2)
    assert copy.planned(*OVERLAY, *MORE_ROUNDS) == between | trained(3) | last | END
    configure(copy, sft={"samples": 100, "novel": True, "epochs": 3})
    again = trained(1, 2) | drawn("rl-expert-round-1", 2) | last | END
    assert copy.planned(*OVERLAY) == again
