# Resumable: the journal is not among the outputs, which Snakemake deletes before a job.
rule relax:
    """Relax one shard; a structure that fails is a record with a reason."""
    input:
        sample=f"{RUN}/sample/{{policy}}/shard-{{shard}}.parquet",
        after=[],
    output:
        shard=f"{RUN}/relax/{{policy}}/shard-{{shard}}.parquet",
        provenance=f"{RUN}/relax/{{policy}}/shard-{{shard}}.provenance.json",
    log:
        f"{LOGS}/relax/{{policy}}/shard-{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/relax-{{policy}}-{{shard}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=0,
        runtime=720,
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        settings=canonical(SETTINGS.relax),
        code=code("relax", potential=SETTINGS.relax.potential),
        after=after_argument,
        trust=trust_argument,
        journal=LAYOUT.journal("relax/{policy}/shard-{shard}"),
    message:
        "Relaxing {wildcards.policy}, shard {wildcards.shard}"
    shell:
        "python -m crystalformer_rl relax --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --sample {input.sample:q} {params.after:q}"
        " {params.trust:q}"
        " --journal {params.journal:q} --out {output.shard:q}"
