rule elements:
    """Relax crystals of every element, the zero of formation energies."""
    input:
        crystals=ELEMENT_CRYSTALS,
    output:
        elements=f"{RUN}/elements/elements.json",
        provenance=f"{RUN}/elements/elements.provenance.json",
    log:
        f"{LOGS}/elements.log",
    benchmark:
        f"{RUN}/benchmarks/elements.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=0,
        runtime=240,
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, 4),
    params:
        potential=HULL.potential,
        code=code("elements", potential=HULL.potential),
        trust=trust_argument,
    message:
        "Relaxing the elements with {params.potential}"
    shell:
        "python -m crystalformer_rl elements --log-file {log:q} --threads 1"
        " --potential {params.potential:q} --crystals {input.crystals:q}"
        " {params.trust:q} --out {output.elements:q}"


# Resumable: the cache is not among the outputs, which Snakemake deletes before a job.
rule energies:
    """Compute one shard of the energies that the dataset does not have, for its hull."""
    input:
        structures=rules.dataset.output.structures,
    output:
        shard=f"{RUN}/energies/shard-{{shard}}.parquet",
        provenance=f"{RUN}/energies/shard-{{shard}}.provenance.json",
    log:
        f"{LOGS}/energies/shard-{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/energies-{{shard}}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=0,
        runtime=720,
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        potential=HULL.potential,
        shards=SETTINGS.hull.shards,
        code=code("energies", potential=HULL.potential),
        trust=trust_argument,
        cache=LAYOUT.cache("energies"),
    message:
        "Computing energies for the hull, shard {wildcards.shard}"
    shell:
        "python -m crystalformer_rl energies --log-file {log:q} --threads 1"
        " --potential {params.potential:q} --structures {input.structures:q} {params.trust:q}"
        " --shard {wildcards.shard} --shards {params.shards:q} --cache {params.cache:q}"
        " --out {output.shard:q}"


rule hull:
    """Build the convex hull of the known compounds, from which every E_hull is measured."""
    input:
        structures=rules.dataset.output.structures,
        elements=elements_of(HULL.potential, rules.elements.output.elements),
        energies=LAYOUT.energies("energies"),
        files=HULL_FILES,
    output:
        hull=f"{RUN}/hull/hull.parquet",
        rejected=f"{RUN}/hull/rejected.parquet",
        elements=f"{RUN}/hull/elements.json",
        rules=f"{RUN}/hull/hull.json",
        provenance=f"{RUN}/hull/provenance.json",
    log:
        f"{LOGS}/hull.log",
    benchmark:
        f"{RUN}/benchmarks/hull.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        runtime=240,
        mem_mb=lambda wildcards, attempt: 8000 * min(attempt, 4),
    params:
        settings=canonical(HULL, without=["shards"]),
        code=code("hull"),
        energies=energies_argument("energies"),
        out=subpath(output.hull, parent=True),
    message:
        "Building the convex hull"
    shell:
        "python -m crystalformer_rl hull --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --structures {input.structures:q}"
        " --elements {input.elements:q} {params.energies:q} --out {params.out:q}"


use rule hull as comparison_hull with:
    input:
        structures=rules.dataset.output.structures,
        elements=rules.hull.input.elements,
        files=COMPARISON_FILES,
    output:
        hull=f"{RUN}/comparison/hull/hull.parquet",
        rejected=f"{RUN}/comparison/hull/rejected.parquet",
        elements=f"{RUN}/comparison/hull/elements.json",
        rules=f"{RUN}/comparison/hull/hull.json",
        provenance=f"{RUN}/comparison/hull/provenance.json",
    log:
        f"{LOGS}/comparison-hull.log",
    benchmark:
        f"{RUN}/benchmarks/comparison-hull.tsv"
    params:
        settings=canonical(COMPARISON_HULL, without=["shards"]),
        energies=[],
    message:
        "Building the comparison hull"
