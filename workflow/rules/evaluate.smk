rule known:
    """Describe the crystals of the dataset, with which the generated ones are compared."""
    input:
        structures=rules.dataset.output.structures,
    output:
        table=f"{RUN}/known/known.parquet",
        provenance=f"{RUN}/known/known.provenance.json",
    log:
        f"{LOGS}/known.log",
    benchmark:
        f"{RUN}/benchmarks/known.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 8
    resources:
        runtime=240,
        mem_mb=lambda wildcards, threads, attempt: (4000 + 500 * threads)
        * min(attempt, 4),
    params:
        code=code("known"),
    message:
        "Describing the crystals of the dataset"
    shell:
        "python -m crystalformer_rl known --log-file {log:q} --threads 1"
        " --structures {input.structures:q} --processes {threads} --out {output.table:q}"


# Resumable: the journal is not among the outputs, which Snakemake deletes before a job.
rule assess:
    """Evaluate one shard; whether a structure is unique needs all shards, and comes later."""
    input:
        sample=f"{RUN}/sample/{{policy}}/shard-{{shard}}.parquet",
        relaxed=f"{RUN}/relax/{{policy}}/shard-{{shard}}.parquet",
        judged=lambda wildcards: LAYOUT.judged(wildcards.policy, int(wildcards.shard)),
        structures=rules.dataset.output.structures,
        known=rules.known.output.table,
        hull=rules.hull.output.hull,
        elements=rules.hull.output.elements,
        rules=rules.hull.output.rules,
        other_hulls=lambda wildcards: LAYOUT.other_hulls(
            "hull.parquet",
            "elements.json",
            "hull.json",
            number=int(wildcards.shard),
        ),
    output:
        shard=f"{RUN}/assess/{{policy}}/shard-{{shard}}.parquet",
        provenance=f"{RUN}/assess/{{policy}}/shard-{{shard}}.provenance.json",
    log:
        f"{LOGS}/assess/{{policy}}/shard-{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/assess-{{policy}}-{{shard}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=0,
        runtime=240,
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, 4),
    params:
        settings=canonical(SETTINGS.evaluate),
        code=code("assess", potential=FEATURES_OF),
        hull=subpath(input.hull, parent=True),
        other_hulls=lambda wildcards: LAYOUT.other_hull_arguments(
            wildcards.policy, int(wildcards.shard)
        ),
        journal=LAYOUT.journal("assess/{policy}/shard-{shard}"),
    message:
        "Evaluating {wildcards.policy}, shard {wildcards.shard}"
    shell:
        "python -m crystalformer_rl assess --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --policy {wildcards.policy:q}"
        " --sample {input.sample:q} --relaxed {input.relaxed:q} --hull {params.hull:q}"
        " --structures {input.structures:q} --known {input.known:q} {params.other_hulls:q}"
        " --journal {params.journal:q} --out {output.shard:q}"


rule evaluate:
    """Join the shards, find what is unique; the table of structures is the primary result."""
    input:
        assessed=LAYOUT.evaluated("assess"),
        training=rules.tokenize.output.tokens[0],
        known=rules.known.output.table,
    output:
        structures=report(
            f"{RUN}/evaluate/structures.parquet",
            caption="../report/structures.rst",
            category="Results",
            labels={"what": "every generated structure"},
        ),
        summary=report(
            f"{RUN}/evaluate/summary.json",
            caption="../report/summary.rst",
            category="Results",
            labels={"what": "summary"},
        ),
        provenance=f"{RUN}/evaluate/provenance.json",
    log:
        f"{LOGS}/evaluate.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 8
    resources:
        runtime=720,
        # One batch of 10,000 crystals in each process, and the whole table in the first.
        mem_mb=lambda wildcards, threads, attempt: (4000 + 1000 * threads)
        * min(attempt, 4),
    params:
        settings=canonical(SETTINGS.evaluate),
        code=code("evaluate"),
        assessed=["=".join(pair) for pair in LAYOUT.evaluated_counts("assess").items()],
        out=subpath(output.structures, parent=True),
    message:
        "Joining the evaluated structures"
    shell:
        "python -m crystalformer_rl evaluate --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --training {input.training:q} --known {input.known:q}"
        " --assessed {params.assessed:q} --processes {threads} --out {params.out:q}"
