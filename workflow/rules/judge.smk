"""The judge: a second potential, which no reward sees, relaxes the samples too."""


use rule elements as judge_elements with:
    output:
        elements=f"{RUN}/judge/elements/elements.json",
        provenance=f"{RUN}/judge/elements/elements.provenance.json",
    log:
        f"{LOGS}/judge/elements.log",
    benchmark:
        f"{RUN}/benchmarks/judge-elements.tsv"
    params:
        potential=JUDGE_HULL.potential,
        code=code("elements", potential=JUDGE_HULL.potential),


use rule energies as judge_energies with:
    output:
        shard=f"{RUN}/judge/energies/shard-{{shard}}.parquet",
        provenance=f"{RUN}/judge/energies/shard-{{shard}}.provenance.json",
    log:
        f"{LOGS}/judge/energies/shard-{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/judge-energies-{{shard}}.tsv"
    params:
        potential=JUDGE_HULL.potential,
        code=code("energies", potential=JUDGE_HULL.potential),
        cache=LAYOUT.cache("judge/energies"),
    message:
        "Computing energies for the judge's hull, shard {wildcards.shard}"


use rule hull as judge_hull with:
    input:
        structures=rules.dataset.output.structures,
        elements=elements_of(JUDGE_HULL.potential, rules.judge_elements.output.elements),
        energies=LAYOUT.energies("judge/energies"),
    output:
        hull=f"{RUN}/judge/hull/hull.parquet",
        rejected=f"{RUN}/judge/hull/rejected.parquet",
        elements=f"{RUN}/judge/hull/elements.json",
        rules=f"{RUN}/judge/hull/hull.json",
        provenance=f"{RUN}/judge/hull/provenance.json",
    log:
        f"{LOGS}/judge/hull.log",
    benchmark:
        f"{RUN}/benchmarks/judge-hull.tsv"
    params:
        settings=canonical(JUDGE_HULL, without=["shards"]),
        energies=energies_argument("judge/energies"),
    message:
        "Building the judge's convex hull"


use rule relax as judge with:
    input:
        sample=rules.relax.input.sample,
        after=rules.relax.output.shard if SETTINGS.judge.start == "relaxed" else [],
    output:
        shard=f"{RUN}/judge/relax/{{policy}}/shard-{{shard}}.parquet",
        provenance=f"{RUN}/judge/relax/{{policy}}/shard-{{shard}}.provenance.json",
    log:
        f"{LOGS}/judge/relax/{{policy}}/shard-{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/judge-{{policy}}-{{shard}}.tsv"
    params:
        settings=canonical(SETTINGS.judge, without=["count", "start"]),
        code=code("relax", potential=SETTINGS.judge.potential),
        journal=LAYOUT.journal("judge/relax/{policy}/shard-{shard}"),
    message:
        "Relaxing {wildcards.policy}, shard {wildcards.shard}, with the judge's potential"
