"""The folder of a policy: its files, and the histogram of space groups in its description.

Nothing here loads weights or torch: a run can be refused before its first job.
"""

import json
from pathlib import Path

from crystalformer_rl.config import Config

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
WITHOUT_HISTOGRAM = (
    "name groups (space_groups; --space-group of `sample`), weigh all alike (space_group_weights: "
    "uniform; --uniform of `sample`), or import the policy again with --space-groups mp20-small"
)
"""What to do with a policy that does not know how often each space group was trained on."""


def unfit(folder: Path, config: Config) -> str | None:
    """Why a run with these settings cannot start from the policy, or None if it can.

    The policies that are trained from it have its histogram, and ``sft`` trains on crystals that
    are drawn as ``sample`` says.
    """
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        return f"{path}: no such file; a policy is {DESCRIPTION} + {WEIGHTS}"
    try:
        known = any(json.loads(path.read_text(encoding="utf-8"))["space_group_counts"])
    except (KeyError, TypeError, ValueError) as error:
        return f"{path}: not the description of a policy: {error!r}"
    sections = {"sample": config.sample} | {f"rl.{name}": one for name, one in config.rl.items()}
    drawn = [name for name, section in sections.items() if section.by_histogram]
    if known or not drawn:
        return None
    return (
        f"the policy has no histogram of space groups, by which {', '.join(drawn)} would draw "
        f"them: {WITHOUT_HISTOGRAM}"
    )
