rule download:
    """Fetch a file of resources/manifest.yaml, on the machine that runs snakemake."""
    output:
        "resources/downloads/{file}",
    log:
        "logs/download/{file}.log",
    benchmark:
        "logs/download/{file}.tsv"
    wildcard_constraints:
        file="|".join(map(re.escape, MANIFEST)),
    retries: 2
    localrule: True
    conda:
        "../../envs/core.yaml"
    threads: 1
    params:
        entry=lambda wildcards: MANIFEST[wildcards.file].model_dump_json(),
        manifest=str(ROOT / "resources/manifest.yaml"),
    message:
        "Downloading {wildcards.file}"
    shell:
        "python -m crystalformer_rl download --log-file {log:q}"
        " --manifest {params.manifest:q} --name {wildcards.file:q} --out {output:q}"


rule dataset:
    """Read the crystals; list those that are rejected, with the reason."""
    input:
        SOURCES.values(),
    output:
        structures=f"{RUN}/dataset/structures.parquet",
        rejected=f"{RUN}/dataset/rejected.parquet",
        provenance=f"{RUN}/dataset/provenance.json",
    log:
        f"{LOGS}/dataset.log",
    benchmark:
        f"{RUN}/benchmarks/dataset.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        runtime=120,
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, 4),
    params:
        settings=canonical(DATASET),
        code=code("dataset"),
        out=subpath(output.structures, parent=True),
    message:
        "Reading the crystals of {input}"
    shell:
        "python -m crystalformer_rl dataset --log-file {log:q}"
        " --settings {params.settings:q} --out {params.out:q}"


rule tokenize:
    """Turn structures into space group, Wyckoff letters, elements, coordinates and lattice."""
    input:
        structures=rules.dataset.output.structures,
    output:
        tokens=expand(
            f"{RUN}/tokenize/tokens-{{split}}.safetensors",
            split=["train", "val", "test"],
        ),
        rejected=f"{RUN}/tokenize/rejected.parquet",
        space_groups=f"{RUN}/tokenize/space_groups.json",
        provenance=f"{RUN}/tokenize/provenance.json",
    log:
        f"{LOGS}/tokenize.log",
    benchmark:
        f"{RUN}/benchmarks/tokenize.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 8
    resources:
        runtime=120,
        mem_mb=lambda wildcards, attempt: 8000 * min(attempt, 4),
    params:
        settings=canonical(SETTINGS.tokenize),
        code=code("tokenize"),
        out=subpath(output.rejected, parent=True),
    message:
        "Tokenizing the crystals"
    shell:
        "python -m crystalformer_rl tokenize --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --structures {input.structures:q}"
        " --processes {threads} --out {params.out:q}"
