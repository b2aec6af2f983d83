# Trainings, here and in rl.smk, are resumable: checkpoints are not among the outputs, which Snakemake
# deletes before a job. The time limit, nodes and processes are resources, whose changes rerun
# nothing. The threads of the numerical libraries are fixed and not {threads}, which Snakemake
# reduces on a small machine: sums in another order are other numbers.
rule pretrain:
    """Likelihood training on the dataset: the policy "base"."""
    input:
        tokens=rules.tokenize.output.tokens,
        space_groups=rules.tokenize.output.space_groups,
        start=list(map(str, policy_files(START))) if START else [],
    output:
        model=f"{RUN}/pretrain/model.safetensors",
        about=f"{RUN}/pretrain/model.json",
        history=f"{RUN}/pretrain/history.parquet",
        provenance=f"{RUN}/pretrain/provenance.json",
    log:
        f"{LOGS}/pretrain.log",
    benchmark:
        f"{RUN}/benchmarks/pretrain.tsv"
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
        settings=canonical(SETTINGS.pretrain),
        model=canonical(SETTINGS.model),
        seed=SETTINGS.seed,
        code=code("pretrain"),
        tokens=subpath(input.space_groups, parent=True),
        start=start_argument,
        checkpoints=LAYOUT.checkpoints("pretrain"),
        jobs=training_arguments,
        out=subpath(output.model, parent=True),
    message:
        "Pretraining"
    shell:
        "python -m crystalformer_rl.jobs.launch {resources.nodes} {resources.processes_per_node}"
        " pretrain --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --model {params.model:q} --seed {params.seed}"
        " --tokens {params.tokens:q} {params.start:q} --checkpoints {params.checkpoints:q}"
        " --minutes {resources.runtime}"
        " {params.jobs:q}"
        " --out {params.out:q}"


rule sft:
    """Fine-tuning on the base policy's own relaxed samples of low energy: the policy "sft"."""
    input:
        policy=LAYOUT.weights("base"),
        relaxed=LAYOUT.shards("relax", "base", SETTINGS.sft.samples),
        hull=rules.hull.output.hull,
        elements=rules.hull.output.elements,
        rules=rules.hull.output.rules,
        known=known_crystals(SETTINGS.sft),
    output:
        model=f"{RUN}/sft/model.safetensors",
        about=f"{RUN}/sft/model.json",
        history=f"{RUN}/sft/history.parquet",
        provenance=f"{RUN}/sft/provenance.json",
    log:
        f"{LOGS}/sft.log",
    benchmark:
        f"{RUN}/benchmarks/sft.tsv"
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
        settings=canonical(SETTINGS.sft),
        seed=SETTINGS.seed,
        code=code("sft"),
        policy=subpath(input.policy, parent=True),
        relaxed=LAYOUT.shard_count("relax", "base", SETTINGS.sft.samples),
        hull=subpath(input.hull, parent=True),
        known=known_argument,
        branch=[],
        checkpoints=LAYOUT.checkpoints("sft"),
        jobs=training_arguments,
        out=subpath(output.model, parent=True),
    message:
        "Fine-tuning on relaxed samples"
    shell:
        "python -m crystalformer_rl.jobs.launch {resources.nodes} {resources.processes_per_node}"
        " sft --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --seed {params.seed} --policy {params.policy:q}"
        " --relaxed {params.relaxed:q} --hull {params.hull:q} {params.known:q} {params.branch:q}"
        " --checkpoints {params.checkpoints:q} --minutes {resources.runtime}"
        " {params.jobs:q}"
        " --out {params.out:q}"
