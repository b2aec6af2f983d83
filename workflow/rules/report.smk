rule report:
    """Write the page that compares the policies."""
    input:
        evaluation=rules.evaluate.output.structures,
        summary=rules.evaluate.output.summary,
        hull=rules.hull.output.hull,
        structures=rules.dataset.output.structures,
        histories=[path for _, path in LAYOUT.trained("history.parquet")],
        crystals=[path for _, path in LAYOUT.sampled_in_rl],
        provenance=[
            rules.dataset.output.provenance,
            rules.hull.output.provenance,
            rules.tokenize.output.provenance,
            rules.known.output.provenance,
            *[path for _, path in LAYOUT.trained("provenance.json")],
            *LAYOUT.other_hulls("provenance.json"),
            rules.evaluate.output.provenance,
        ],
        shards=[
            *LAYOUT.energies("energies", "provenance.json"),
            *LAYOUT.energies("judge/energies", "provenance.json"),
            *LAYOUT.evaluated("sample", "provenance.json"),
            *LAYOUT.evaluated("relax", "provenance.json"),
            *LAYOUT.evaluated("judge/relax", "provenance.json"),
            *LAYOUT.evaluated("assess", "provenance.json"),
        ],
    output:
        page=report(
            f"{RUN}/report/index.html",
            caption="../report/page.rst",
            category="Report",
            labels={"what": "the page: figures, tables and their meaning"},
        ),
        figures=report(
            directory(f"{RUN}/report/figures"),
            patterns=["{name}.svg"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
        tables=report(
            directory(f"{RUN}/report/tables"),
            patterns=["{name}.csv"],
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "{name}"},
        ),
        crate=report(
            f"{RUN}/ro-crate-metadata.json",
            caption="../report/crate.rst",
            category="Results",
            labels={"what": "RO-Crate metadata"},
        ),
        provenance=f"{RUN}/report/provenance.json",
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{RUN}/benchmarks/report.tsv"
    conda:
        "../../envs/core.yaml"
    threads: 1
    resources:
        runtime=60,
        mem_mb=lambda wildcards, attempt: 4000 * min(attempt, 4),
    params:
        settings=canonical(SETTINGS.report),
        config=canonical(SETTINGS, without=["jobs"]),
        code=code("report"),
        evaluation=subpath(input.evaluation, parent=True),
        histories=["=".join(pair) for pair in LAYOUT.trained("history.parquet")],
        crystals=["=".join(pair) for pair in LAYOUT.sampled_in_rl],
        shards=[
            *LAYOUT.energies_count("energies"),
            *LAYOUT.energies_count("judge/energies"),
            *LAYOUT.evaluated_counts("sample").values(),
            *LAYOUT.evaluated_counts("relax").values(),
            *LAYOUT.evaluated_counts("judge/relax").values(),
            *LAYOUT.evaluated_counts("assess").values(),
        ],
        out=subpath(output.page, parent=True),
    message:
        "Writing the report"
    shell:
        "python -m crystalformer_rl report --log-file {log:q}"
        " --settings {params.settings:q} --config {params.config:q}"
        " --evaluation {params.evaluation:q} --hull {input.hull:q}"
        " --structures {input.structures:q}"
        " --histories {params.histories:q} --crystals {params.crystals:q}"
        " --provenance {input.provenance:q}"
        " --shards {params.shards:q}"
        " --out {params.out:q}"
