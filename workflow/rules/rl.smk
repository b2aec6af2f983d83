rule rl:
    """One round of RL: many steps, from the policy and the state of the round before."""
    input:
        unpack(reward_inputs),
        policy=lambda wildcards: LAYOUT.start(wildcards.branch, int(wildcards.round)),
        state=lambda wildcards: LAYOUT.state(wildcards.branch, int(wildcards.round)),
        earlier=lambda wildcards: LAYOUT.earlier_crystals(
            wildcards.branch, int(wildcards.round)
        ),
        base=LAYOUT.weights("base"),
    output:
        model=f"{RUN}/rl-{{branch}}/round-{{round}}/model.safetensors",
        about=f"{RUN}/rl-{{branch}}/round-{{round}}/model.json",
        state=f"{RUN}/rl-{{branch}}/round-{{round}}/state.json",
        history=f"{RUN}/rl-{{branch}}/round-{{round}}/history.parquet",
        crystals=f"{RUN}/rl-{{branch}}/round-{{round}}/crystals.parquet",
        provenance=f"{RUN}/rl-{{branch}}/round-{{round}}/provenance.json",
    log:
        f"{LOGS}/rl-{{branch}}/round-{{round}}.log",
    benchmark:
        f"{RUN}/benchmarks/rl-{{branch}}-{{round}}.tsv"
    wildcard_constraints:
        branch=LAYOUT.branches("ppo", "dpo"),
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=0,
        nodes=1,
        processes_per_node=1,
        runtime=10080,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    params:
        settings=lambda wildcards: canonical(
            SETTINGS.rl[wildcards.branch], without=["rounds"]
        ),
        seed=SETTINGS.seed,
        code=branch_code,
        policy=subpath(input.policy, parent=True),
        base=subpath(input.base, parent=True),
        reward=reward_arguments,
        checkpoints=LAYOUT.checkpoints("rl-{branch}/round-{round}"),
        jobs=training_arguments,
        trust=trust_argument,
        out=subpath(output.model, parent=True),
    message:
        "RL fine-tuning {wildcards.branch}, round {wildcards.round}"
    shell:
        "python -m crystalformer_rl.jobs.launch {resources.nodes} {resources.processes_per_node}"
        " rl --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --seed {params.seed} --name {wildcards.branch:q}"
        " --round {wildcards.round} --policy {params.policy:q} --base {params.base:q}"
        " --earlier {input.earlier:q}"
        " {params.reward:q} --checkpoints {params.checkpoints:q}"
        " --minutes {resources.runtime}"
        " {params.jobs:q} {params.trust:q}"
        " --out {params.out:q}"


use rule sft as sft_round with:
    input:
        policy=lambda wildcards: LAYOUT.start(wildcards.branch, int(wildcards.round)),
        relaxed=lambda wildcards: LAYOUT.shards("relax", *taught_by(wildcards)),
        hull=rules.hull.output.hull,
        elements=rules.hull.output.elements,
        rules=rules.hull.output.rules,
        known=lambda wildcards: known_crystals(SETTINGS.rl[wildcards.branch].sft),
    output:
        model=f"{RUN}/rl-{{branch}}/round-{{round}}/model.safetensors",
        about=f"{RUN}/rl-{{branch}}/round-{{round}}/model.json",
        history=f"{RUN}/rl-{{branch}}/round-{{round}}/history.parquet",
        provenance=f"{RUN}/rl-{{branch}}/round-{{round}}/provenance.json",
    log:
        f"{LOGS}/rl-{{branch}}/round-{{round}}.log",
    benchmark:
        f"{RUN}/benchmarks/rl-{{branch}}-{{round}}.tsv"
    wildcard_constraints:
        branch=LAYOUT.branches("sft"),
    params:
        settings=lambda wildcards: canonical(
            SETTINGS.rl[wildcards.branch].sft, without=["weights"]
        ),
        relaxed=lambda wildcards: LAYOUT.shard_count("relax", *taught_by(wildcards)),
        branch=lambda wildcards: [
            "--name",
            wildcards.branch,
            "--round",
            wildcards.round,
        ],
        checkpoints=LAYOUT.checkpoints("rl-{branch}/round-{round}"),
    message:
        "Fine-tuning {wildcards.branch} on relaxed samples, round {wildcards.round}"
