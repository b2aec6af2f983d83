rule report:
    """Write the page that compares the policies."""
    input:
        evaluation=rules.evaluate.output.structures,
        summary=rules.evaluate.output.summary,
        histories=every(trained("history.parquet")),
        provenance=[
            rules.dataset.output.provenance,
            rules.hull.output.provenance,
            rules.tokenize.output.provenance,
            *every(trained("provenance.json")),
            *other_hulls_provenance(),
            rules.evaluate.output.provenance,
        ],
        shards=[
            *every(judged("sample", "provenance.json")),
            *every(judged("relax", "provenance.json")),
            *second_opinion_shards("provenance.json"),
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
        histories=named(trained("history.parquet")),
        shards=[
            *judged_counts("sample").values(),
            *judged_counts("relax").values(),
            *second_opinion_counts(),
        ],
        out=subpath(output.page, parent=True),
    message:
        "Writing the report [{resources.mem_mb} MB, {resources.runtime} min]"
    shell:
        "python -m crystalformer_rl report --log-file {log:q}"
        " --settings {params.settings:q} --config {params.config:q}"
        " --evaluation {params.evaluation:q}"
        " --histories {params.histories:q} --provenance {input.provenance:q}"
        " --shards {params.shards:q}"
        " --out {params.out:q}"
