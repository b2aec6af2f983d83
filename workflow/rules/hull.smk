rule hull:
    """Place the reference energies on the convex hull that every E_hull is measured from."""
    input:
        structures=rules.dataset.output.structures,
        elements=ELEMENTS,
        files=HULL_FILES,
    output:
        hull=f"{RUN}/hull/hull.parquet",
        rejected=f"{RUN}/hull/rejected.parquet",
        elements=f"{RUN}/hull/elements.json",
        provenance=f"{RUN}/hull/provenance.json",
    log:
        f"{LOGS}/hull.log",
    benchmark:
        f"{RUN}/benchmarks/hull.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        gpu=0,
        runtime=720,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    params:
        settings=canonical(HULL),
        code=code("hull"),
        out=subpath(output.hull, parent=True),
    message:
        "Building the convex hull [{resources.gpu} GPU, {resources.mem_mb} MB, {resources.runtime} min]"
    shell:
        "python -m crystalformer_rl hull --log {log:q} --threads 2"
        " --settings {params.settings:q} --structures {input.structures:q}"
        " --elements {input.elements:q} --out {params.out:q}"
