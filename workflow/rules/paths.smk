"""Which files of which policy a rule reads."""


def trained(file):
    """A file of every training behind each policy: one, or one a round.

    A base policy that was not trained in this run has nothing but weights to show.
    """
    folders = {"base": [BASE or f"{RUN}/pretrain"], "sft": [f"{RUN}/sft"]}
    for branch, settings in SETTINGS.rl.items():
        rounds = range(1, settings.rounds + 1)
        folders[f"rl-{branch}"] = [f"{RUN}/rl-{branch}/round-{k}" for k in rounds]
    if BASE and file != "model.safetensors":
        folders["base"] = []
    return {p: [f"{folder}/{file}" for folder in part] for p, part in folders.items()}


def tensorboard(training):
    """The argument that asks for TensorBoard's files; a resource, which reruns nothing."""
    return f"--tensorboard {LOGS}/{training}" if SETTINGS.jobs.tensorboard else ""


def weights(policy):
    """The weights of a policy; those of a branch are its last round's."""
    if policy not in POLICIES:
        refuse(f"policy {policy}: there are {', '.join(POLICIES)}")
    return trained("model.safetensors")[policy][-1]


def sampled_weights(wildcards):
    return weights(wildcards.policy)


def previous_weights(wildcards):
    """What a round starts from: the round before, or the policy that the branch starts from."""
    number = int(wildcards.round)
    if number == 1:
        return weights(SETTINGS.rl[wildcards.branch].start)
    return f"{RUN}/rl-{wildcards.branch}/round-{number - 1}/model.safetensors"


def branch_settings(wildcards):
    return canonical(SETTINGS.rl[wildcards.branch], without=["rounds"])


def shards(stage, policy, count, suffix="parquet"):
    """The shards that hold the first ``count`` crystals of a policy."""
    numbers = range(count // SETTINGS.sample.shard_size)
    return [f"{RUN}/{stage}/{policy}/shard-{number:04d}.{suffix}" for number in numbers]


def shard_count(stage, policy, count):
    """The same for a command line, which thousands of paths would not fit."""
    return f"{RUN}/{stage}/{policy}:{count // SETTINGS.sample.shard_size}"


def judged_counts(stage):
    count = SETTINGS.sample.count
    return {policy: shard_count(stage, policy, count) for policy in POLICIES}


def judged(stage, suffix="parquet"):
    """The shards of every policy that are evaluated."""
    count = SETTINGS.sample.count
    return {policy: shards(stage, policy, count, suffix) for policy in POLICIES}


def named(files_by_name):
    """Arguments NAME=FILE."""
    return [f"{name}={file}" for name, files in files_by_name.items() for file in files]


def every(files_by_name):
    return [file for files in files_by_name.values() for file in files]
