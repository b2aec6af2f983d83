rule sample:
    """Sample one shard of crystals from a policy."""
    input:
        policy=lambda wildcards: LAYOUT.weights(wildcards.policy),
    output:
        shard=f"{RUN}/sample/{{policy}}/shard-{{shard}}.parquet",
        provenance=f"{RUN}/sample/{{policy}}/shard-{{shard}}.provenance.json",
    log:
        f"{LOGS}/sample/{{policy}}/shard-{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/sample-{{policy}}-{{shard}}.tsv"
    wildcard_constraints:
        policy=OWN_POLICY,
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=0,
        nodes=1,
        processes_per_node=1,
        runtime=240,
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        settings=canonical(SETTINGS.sample, without=["count"]),
        seed=SETTINGS.seed,
        code=code("sample"),
        policy=subpath(input.policy, parent=True),
    message:
        "Sampling {wildcards.policy}, shard {wildcards.shard}"
    shell:
        "python -m crystalformer_rl.jobs.launch {resources.nodes} {resources.processes_per_node}"
        " sample --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --seed {params.seed} --policy {params.policy:q}"
        " --name {wildcards.policy:q} --shard {wildcards.shard} --out {output.shard:q}"


rule external:
    """Read the crystals of another generator, which are relaxed and evaluated as samples are."""
    input:
        source=lambda wildcards: EXTERNAL[wildcards.policy],
    output:
        shards=LAYOUT.shards("sample", "{policy}", SETTINGS.sample.count),
        provenance=LAYOUT.shards(
            "sample", "{policy}", SETTINGS.sample.count, "provenance.json"
        ),
    log:
        f"{LOGS}/external/{{policy}}.log",
    benchmark:
        f"{RUN}/benchmarks/external-{{policy}}.tsv"
    wildcard_constraints:
        policy=LAYOUT.external,
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        runtime=120,
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, 4),
    params:
        settings=[
            f"--count={SETTINGS.sample.count}",
            f"--shard-size={SETTINGS.sample.shard_size}",
            f"--symprec={SETTINGS.tokenize.symprec}",
            f"--merge-below={SETTINGS.dataset.merge_below}",
        ],
        code=code("external"),
        out=f"{RUN}/sample/{{policy}}",
    message:
        "Reading the crystals of {wildcards.policy}"
    shell:
        "python -m crystalformer_rl external --log-file {log:q}"
        " --source {input.source:q} {params.settings:q} --out {params.out:q}"
