rule evaluate:
    """Evaluate every generated structure; the table of structures is the primary result."""
    input:
        samples=LAYOUT.evaluated("sample"),
        relaxed=LAYOUT.evaluated("relax"),
        judged=LAYOUT.evaluated("judge/relax"),
        structures=rules.dataset.output.structures,
        training=rules.tokenize.output.tokens[0],
        hull=rules.hull.output.hull,
        elements=rules.hull.output.elements,
        rules=rules.hull.output.rules,
        other_hulls=LAYOUT.other_hulls("hull.parquet", "elements.json", "hull.json"),
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
        # One part of 10,000 crystals in each process, and the whole table in the first.
        mem_mb=lambda wildcards, threads, attempt: (4000 + 1000 * threads)
        * min(attempt, 4),
    params:
        settings=canonical(SETTINGS.evaluate),
        code=code("evaluate", potential=FEATURES_OF),
        samples=["=".join(pair) for pair in LAYOUT.evaluated_counts("sample").items()],
        relaxed=["=".join(pair) for pair in LAYOUT.evaluated_counts("relax").items()],
        hull=subpath(input.hull, parent=True),
        other_hulls=LAYOUT.other_hull_arguments(),
        out=subpath(output.structures, parent=True),
    message:
        "Evaluating the generated structures"
    shell:
        "python -m crystalformer_rl evaluate --log-file {log:q} --threads 1"
        " --settings {params.settings:q} --hull {params.hull:q}"
        " --structures {input.structures:q} --training {input.training:q}"
        " --samples {params.samples:q} --relaxed {params.relaxed:q} {params.other_hulls:q}"
        " --processes {threads} --out {params.out:q}"
