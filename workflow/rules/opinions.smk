"""The verdicts beside the first: which files of the comparison hull and of the judge there are."""


def hull_files(rule):
    """What a stage reads of a hull."""
    return [rule.output.hull, rule.output.elements]


def comparison():
    """The argument that names the comparison hull; none without files."""
    return ["--comparison-hull", f"{RUN}/comparison/hull"] if COMPARISON_FILES else []


def comparison_files():
    """The same files as the inputs of a rule."""
    return hull_files(rules.comparison_hull) if COMPARISON_FILES else []


def other_hulls_provenance():
    """Where the comparison hull and the judge's come from."""
    compared = [rules.comparison_hull] if COMPARISON_FILES else []
    judging = [rules.judge_hull] if judge_count() else []
    return [rule.output.provenance for rule in [*compared, *judging]]


def judge_count():
    """Crystals of each policy that the judge sees: whole shards."""
    size, wanted = SETTINGS.sample.shard_size, SETTINGS.judge.count
    if SETTINGS.judge.potential is None:
        return 0
    return min(
        -(-(wanted or SETTINGS.sample.count) // size) * size, SETTINGS.sample.count
    )


def second_opinion_counts():
    return [
        shard_count("judge/relax", policy, judge_count())
        for policy in POLICIES
        if judge_count()
    ]


def second_opinion():
    """The arguments that name what the judge found; none without a judge."""
    if not judge_count():
        return []
    parts = map("{}={}".format, POLICIES, second_opinion_counts())
    return ["--judge-hull", f"{RUN}/judge/hull", "--judged", *parts]


def second_opinion_shards(suffix="parquet"):
    return [
        path
        for policy in POLICIES
        for path in shards("judge/relax", policy, judge_count(), suffix)
    ]


def second_opinion_files():
    """The same files as the inputs of a rule."""
    if not judge_count():
        return []
    return [*hull_files(rules.judge_hull), *second_opinion_shards()]
