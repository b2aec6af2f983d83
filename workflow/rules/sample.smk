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
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=0,
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
        "python -m crystalformer_rl sample --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --seed {params.seed} --policy {params.policy:q}"
        " --name {wildcards.policy:q} --shard {wildcards.shard} --out {output.shard:q}"
